// The chat: messages as they grow, and what one can do with them.
import { announce, button, byId, el, rounded, update } from './dom.js';
import { draw } from './markdown.js';
import { NUMBERS, ask, conversation, isChatModel, load, save } from './conversation.js';

// Markdown of a growing answer is drawn so often.
const DRAW_PAUSE_MS = 60;
const NEAR_END_PX = 80;

const nodes = new WeakMap(); // of each message: {article, body, ...}
let running = null; // {abort, answer}
let finished = () => {};

/** `told({first, prompt, tokens})` hears of each answer. */
export function onAnswer(told) {
    finished = told;
}

const log = () => byId('log');
const name = (message) => (message.role === 'user' ? 'You' : conversation.model || 'Model');

function nearEnd() {
    const { scrollTop, scrollHeight, clientHeight } = log();
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
}
function toEnd() {
    log().scrollTop = log().scrollHeight;
}

/** Heights are guesses until what is in sight was laid out. */
function settleAtEnd(frames = 10) {
    toEnd();
    if (frames > 0) requestAnimationFrame(() => settleAtEnd(frames - 1));
}

function shownStats({ tokens, speed, first, devices, end }) {
    const said = [
        tokens !== undefined && `${tokens} tokens`,
        speed > 0 && `${rounded(speed)} tokens/s`,
        first !== undefined && `first after ${rounded(first)} s`,
        devices > 0 && (devices === 1 ? '1 device' : `${devices} devices`),
        end === 'length' && 'ended at the longest length',
    ];
    return said.filter(Boolean).join(' · ');
}

function reasoningOf(message, parts) {
    if (!message.reasoning) return;
    if (!parts.thoughts) {
        parts.thoughts = el('div', { class: 'thoughts' });
        parts.fold = el('details', { class: 'reasoning' }, el('summary', {}), parts.thoughts);
        parts.body.before(parts.fold);
    }
    const thinking = running?.answer === message && !message.content;
    parts.fold.firstChild.textContent = thinking ? 'Thinking …' : 'What it thought';
    draw(parts.thoughts, message.reasoning);
}

function actionsOf(message) {
    const answers = message.role === 'assistant';
    return [
        button('Copy', () => copy(message), { class: 'small' }),
        button('Edit', () => edit(message), { class: 'small' }),
        answers && button('Regenerate', () => regenerate(message), { class: 'small' }),
    ];
}

/** What the device told of a queue `ms` ago, with the wait as it is by now; other things as they are. */
function waitOf(told, ms) {
    if (!told.includes('in the queue')) return told;
    const left = (_, seconds) => {
        const rest = seconds - Math.round(ms / 1000);
        return rest > 0 ? `about ${rest} s` : 'soon';
    };
    return `Waiting: ${told.replace(/about (\d+) s$/, left)}`;
}

/** Puts what a message is now into its elements. */
function show(message, meanwhile = '') {
    const parts = nodes.get(message);
    const grows = running?.answer === message;
    if (message.role === 'user') parts.body.textContent = message.content;
    else draw(parts.body, message.content);
    reasoningOf(message, parts);
    parts.article.classList.toggle('grows', grows);
    const waiting = grows && !message.content && !message.reasoning;
    const silent = waiting ? 'Waiting for the first word …' : shownStats(message.stats ?? {});
    update(parts.note, [(grows && meanwhile) || silent]);
    update(parts.error, message.error ? [message.error] : []);
    parts.actions.hidden = grows;
}

function made(message) {
    const parts = {
        body: el('div', { class: message.role === 'user' ? 'text' : 'text markdown' }),
        note: el('p', { class: 'note' }),
        error: el('p', { class: 'wrong' }),
        actions: el('div', { class: 'actions' }, actionsOf(message)),
    };
    parts.article = el(
        'article',
        { class: `message ${message.role}`, 'aria-label': name(message) },
        el('h3', {}, name(message)),
        parts.body,
        parts.error,
        el('div', { class: 'below' }, parts.note, parts.actions),
    );
    nodes.set(message, parts);
    show(message);
    return parts.article;
}

function welcome() {
    return el(
        'div',
        { class: 'welcome' },
        el('p', {}, 'Ask something. The devices compute the answer together; nothing goes elsewhere.'),
        el(
            'p',
            { class: 'note' },
            'Enter sends, Shift and Enter begins a new line, Escape stops an answer.',
        ),
    );
}

function drawAll() {
    const all = conversation.messages.map(made);
    log().replaceChildren(...(all.length ? all : [welcome()]));
    settleAtEnd();
}

function append(message) {
    if (conversation.messages.length === 0) log().replaceChildren();
    conversation.messages.push(message);
    log().append(made(message));
}

function cutBefore(index) {
    for (const gone of conversation.messages.splice(index)) nodes.get(gone).article.remove();
}

function keepIt() {
    if (!save()) announce('The browser has no room to keep this conversation.');
}

async function copy(message) {
    try {
        await navigator.clipboard.writeText(message.content);
        announce('Copied');
    } catch {
        // Browsers have a clipboard for https and this device alone.
        getSelection().selectAllChildren(nodes.get(message).body);
        announce('Selected; copy it with the keyboard');
    }
}

function edit(message) {
    if (running) return;
    const { body, actions } = nodes.get(message);
    const field = el('textarea', {
        'aria-label': 'The message',
        rows: Math.min(12, message.content.split('\n').length + 1),
    });
    field.value = message.content;
    const form = el(
        'form',
        { class: 'edit' },
        field,
        el(
            'div',
            { class: 'row' },
            el(
                'button',
                { type: 'submit', class: 'main' },
                message.role === 'user' ? 'Send anew' : 'Save',
            ),
            button('Cancel', () => close()),
        ),
    );
    const close = () => {
        form.replaceWith(body);
        actions.hidden = false;
        actions.children[1].focus();
    };
    form.addEventListener('submit', (event) => {
        event.preventDefault();
        message.content = field.value;
        close();
        show(message);
        keepIt();
        if (message.role === 'user') {
            cutBefore(conversation.messages.indexOf(message) + 1);
            answer();
        }
    });
    form.addEventListener('keydown', (event) => {
        if (event.key === 'Escape') close();
    });
    actions.hidden = true;
    body.replaceWith(form);
    field.focus();
}

function regenerate(message) {
    if (running) return;
    cutBefore(conversation.messages.indexOf(message));
    answer();
}

function setRunning(now) {
    running = now;
    byId('send').hidden = running !== null;
    byId('stop').hidden = running === null;
    document.body.classList.toggle('answering', running !== null);
}

/** Draws soon, and not too often. */
function drawer(message) {
    let timer = null;
    let told = '';
    let since = 0;
    let counting = null;
    const now = () => {
        timer = null;
        const follow = nearEnd();
        show(message, waitOf(told, performance.now() - since));
        if (follow) toEnd();
    };
    return {
        soon(what) {
            if (what !== told && what.includes('in the queue')) announce(what);
            told = what;
            since = performance.now();
            clearInterval(counting);
            if (told) counting = setInterval(now, 1000);
            timer ??= setTimeout(now, DRAW_PAUSE_MS);
        },
        end() {
            clearTimeout(timer);
            clearInterval(counting);
            now();
        },
    };
}

async function answer() {
    const asked = conversation.messages.slice();
    const message = { role: 'assistant', content: '' };
    const abort = new AbortController();
    setRunning({ abort, answer: message });
    append(message);
    toEnd();
    announce('The answer comes');
    const drawing = drawer(message);
    try {
        await ask(asked, message, drawing.soon, abort.signal);
        announce('The answer is complete');
        finished(message.stats ?? {});
    } catch (error) {
        if (error.name !== 'AbortError') message.error = reason(error);
        announce(message.error ?? 'Stopped');
    } finally {
        setRunning(null);
        drawing.end();
        keepIt();
    }
}

function reason(error) {
    return error instanceof TypeError
        ? 'The connection to this device broke. The answer so far stays; Regenerate asks again.'
        : error.message;
}

function stop() {
    running?.abort.abort();
}

function send() {
    const prompt = byId('prompt');
    if (running || prompt.value.trim() === '') return;
    append({ role: 'user', content: prompt.value });
    prompt.value = '';
    fit(prompt);
    answer();
}

function fit(field) {
    field.style.height = 'auto';
    field.style.height = `${Math.min(field.scrollHeight + 2, 240)}px`;
}

function setUpComposer() {
    const prompt = byId('prompt');
    prompt.addEventListener('input', () => fit(prompt));
    prompt.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        send();
    });
    byId('composer').addEventListener('submit', (event) => {
        event.preventDefault();
        send();
    });
    byId('stop').addEventListener('click', stop);
    document.addEventListener('keydown', (event) => {
        if (event.key === 'Escape' && !byId('key-dialog').open) stop();
    });
    byId('new-chat').addEventListener('click', () => {
        stop();
        conversation.messages = [];
        drawAll();
        keepIt();
        prompt.focus();
    });
}

function readSettings() {
    const { settings } = conversation;
    for (const id of NUMBERS)
        settings[id] = byId(id).value === '' ? undefined : Number(byId(id).value);
    settings.system = byId('system').value || undefined;
    settings.think = { true: true, false: false }[byId('think').value];
    conversation.keep = byId('keep').checked;
    keepIt();
}

function setUpSettings() {
    const { settings } = conversation;
    for (const id of [...NUMBERS, 'system', 'think']) byId(id).value = settings[id] ?? '';
    byId('keep').checked = conversation.keep;
    byId('settings').addEventListener('input', readSettings);
    byId('settings').addEventListener('submit', (event) => event.preventDefault());
    byId('show-settings').addEventListener('click', (event) => {
        const shown = byId('settings').toggleAttribute('hidden') === false;
        event.target.setAttribute('aria-expanded', shown);
        if (shown) byId('system').focus();
    });
}

/** The models one can choose from; `loaded` is taken when none was chosen. */
export function offerModels(models, loaded) {
    const names = models.map(({ id }) => id);
    if (!names.includes(conversation.model)) conversation.model = loaded || names[0] || '';
    const field = byId('model');
    update(
        field,
        names.length
            ? names.map((id) =>
                  el('option', { value: id, selected: id === conversation.model }, id),
              )
            : [el('option', { value: '' }, 'no model')],
    );
    field.value = conversation.model;
    sayKind();
}

/** What a message is for: some models answer, others go on with a text. */
async function sayKind() {
    const model = conversation.model;
    if (!model) return;
    const chats = await isChatModel(model).catch(() => true);
    if (model !== conversation.model) return;
    byId('prompt').placeholder = chats
        ? 'Write a message'
        : 'Begin a text; the model goes on with it';
}

export function setUpChat() {
    load();
    setUpSettings();
    setUpComposer();
    byId('model').addEventListener('change', (event) => {
        conversation.model = event.target.value;
        keepIt();
        sayKind();
    });
    drawAll();
}
