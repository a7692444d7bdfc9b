// A conversation and how it is asked for: no elements here.
import { Refused, events, json, request } from './api.js';

const KEPT = 'shoal-conversation';
export const NUMBERS = [
    'temperature',
    'top_p',
    'top_k',
    'min_p',
    'repeat_penalty',
    'seed',
    'max_tokens',
];

/** {role: 'user'|'assistant', content, reasoning, stats, error} */
export const conversation = { messages: [], settings: {}, model: '', keep: false };

export function load() {
    try {
        const kept = JSON.parse(localStorage.getItem(KEPT));
        if (kept) Object.assign(conversation, kept, { keep: true });
    } catch {
        localStorage.removeItem(KEPT);
    }
}

/** False when the browser has no room for it. */
export function save() {
    try {
        if (conversation.keep) localStorage.setItem(KEPT, JSON.stringify(conversation));
        else localStorage.removeItem(KEPT);
        return true;
    } catch {
        return false;
    }
}

const templates = new Map();

/** Whether the model's file has a chat template; one without goes on with a text. */
export async function isChatModel(model) {
    if (!templates.has(model)) {
        const shown = await json('api/show', { body: { model } });
        templates.set(model, Boolean(shown.template));
    }
    return templates.get(model);
}

function sampling() {
    const { settings } = conversation;
    const set = NUMBERS.filter((name) => settings[name] !== undefined);
    return Object.fromEntries(set.map((name) => [name, settings[name]]));
}

function chatBody(messages) {
    const { settings } = conversation;
    const told = messages.map(({ role, content }) => ({ role, content }));
    if (settings.system) told.unshift({ role: 'system', content: settings.system });
    const body = { messages: told };
    if (settings.think !== undefined) body.think = settings.think;
    return ['v1/chat/completions', body];
}

/** An answer follows its text at once, as it goes on with it. */
function textBody(messages) {
    const text = messages
        .map(({ role, content }, i) => (role === 'user' && i > 0 ? `\n${content}` : content))
        .join('');
    return [
        'v1/completions',
        {
            prompt: (conversation.settings.system ?? '') + text,
            max_tokens: conversation.settings.max_tokens ?? -1,
        },
    ];
}

/** Asks for the message after `messages` and puts it into `answer` as it comes. `changed(what)` is
 *  called after each part, with what the device says meanwhile. Throws Refused, or AbortError. */
export async function ask(messages, answer, changed, signal) {
    const begun = performance.now();
    const model = conversation.model;
    const [path, body] = (await isChatModel(model)) ? chatBody(messages) : textBody(messages);
    const asked = { ...sampling(), ...body, stream: true, stream_options: { include_usage: true } };
    if (model) asked.model = model;
    const response = await request(path, { body: asked, accept: 'text/event-stream', signal });
    for await (const { data, comment } of events(response)) {
        if (comment !== undefined) changed(comment);
        else if (data !== '[DONE]' && take(JSON.parse(data), answer, begun)) changed('');
    }
}

/** Whether the answer is another one by this event. */
function take(event, answer, begun) {
    if (event.error) throw new Refused(0, event.error.message);
    const stats = (answer.stats ??= {});
    if (event.usage)
        Object.assign(stats, {
            prompt: event.usage.prompt_tokens,
            tokens: event.usage.completion_tokens,
        });
    const choice = event.choices?.[0];
    if (!choice) return Boolean(event.usage);
    const text = choice.delta?.content ?? choice.text ?? '';
    const reasoning = choice.delta?.reasoning_content ?? '';
    if (text || reasoning) stats.first ??= (performance.now() - begun) / 1000;
    answer.content += text;
    if (reasoning) answer.reasoning = (answer.reasoning ?? '') + reasoning;
    if (choice.finish_reason) {
        stats.end = choice.finish_reason;
        stats.speed = event.timings?.predicted_per_second;
        stats.devices = event.timings?.devices;
    }
    return true;
}
