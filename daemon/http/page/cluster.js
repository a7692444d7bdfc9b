// What the device says of the cluster, and how one sees it.
import { events, json, request } from './api.js';
import { Series, drawCharts } from './charts.js';
import { offerModels } from './chat.js';
import { deviceCard, linkRow, modelCard, warning } from './cards.js';
import { announce, button, byId, el, rounded, update } from './dom.js';
import { colours, drawParts, drawPicture } from './picture.js';

const AGAIN_MS = 2000;
const MODELS_EVERY_MS = 15_000;

const speed = new Series('Speed', 'tokens/s', true, 'nothing was generated yet');
const first = new Series('First token', 's', false, 'of answers on this page');
const cache = new Series('KV cache', '%', false, 'of the context, by answers on this page');

let state = null; // the last one
let models = [];
let modelsAt = 0;

/** An answer of this page. */
export function addAnswer(stats) {
    if (stats.first !== undefined) first.add(stats.first);
    const context = state?.model?.context;
    if (context && stats.tokens !== undefined)
        cache.add((100 * (stats.prompt + stats.tokens)) / context);
    if (state) drawCharts([speed, first, cache]);
}

const seconds = () => performance.now() / 1000;
let before = null; // {tokens, at}

/** Tokens that came since the last time, in a second. */
function speedNow({ generated_tokens: tokens }) {
    const now = { tokens, at: seconds() };
    const last = before;
    before = now;
    if (!last || tokens < last.tokens || now.at - last.at < 0.2) return null;
    return (tokens - last.tokens) / (now.at - last.at);
}

function summary(now) {
    const there = now.devices.filter(({ alive }) => alive).length;
    const said = [
        there === 1 ? '1 device' : `${there} devices`,
        now.model?.name ?? 'no model loaded',
    ];
    if (now.requests.running) said.push(`${now.requests.running} running`);
    if (now.requests.queued) said.push(`${now.requests.queued} waiting`);
    if (now.tokens_per_second > 0) {
        const when = now.requests.running ? '' : 'last ';
        said.push(`${when}${rounded(now.tokens_per_second)} tokens/s`);
    }
    return said.join(' · ');
}

function drawModels(now) {
    const empty = now.reading_models
        ? 'The devices are looking through their folders …'
        : 'No device has a model: put a GGUF file into a folder of models.';
    update(
        byId('models'),
        models.length ? models.map((m) => modelCard(m, now)) : [el('li', { class: 'note' }, empty)],
    );
}

async function refreshModels(now) {
    if (Date.now() - modelsAt < MODELS_EVERY_MS && !now.reading_models) return;
    modelsAt = Date.now();
    ({ data: models } = await json('v1/models'));
    offerModels(models, now.model?.name);
    drawModels(now);
}

/** What happened to devices, in words. */
function changes(old, now) {
    if (!old) return [];
    const was = new Map(old.devices.map((d) => [d.id, d.alive]));
    const said = now.devices
        .filter((d) => was.has(d.id) && was.get(d.id) !== d.alive)
        .map((d) => (d.alive ? `${d.name} is back` : `${d.name} is lost`));
    said.push(...now.devices.filter((d) => !was.has(d.id)).map((d) => `${d.name} is here`));
    const named = new Set(old.warnings.map((w) => w.name));
    said.push(...now.warnings.filter((w) => !named.has(w.name)).map((w) => w.text));
    return said;
}

function draw(now) {
    const said = changes(state, now);
    state = now;
    if (said.length) announce(said.join('; '));
    byId('summary').textContent = summary(now);
    document.title = `Shoal · ${now.model?.name ?? 'no model'}`;
    const rate = speedNow(now);
    if (rate !== null) speed.add(rate);
    const wrong = now.warnings.filter(({ severity }) => severity !== 'notice').length;
    byId('wrong-count').hidden = wrong === 0;
    byId('wrong-count').textContent = `${wrong}`;
    byId('wrong-count').setAttribute('aria-label', `, ${wrong} to look at`);
    byId('warnings').hidden = now.warnings.length === 0;
    update(
        byId('warnings'),
        now.warnings.map((w) => warning(w, now.devices)),
    );
    drawPicture(now);
    drawParts(now);
    drawCharts([speed, first, cache]);
    const colour = colours(now.devices);
    update(
        byId('devices'),
        now.devices.map((d) => deviceCard(d, colour.get(d.id))),
    );
    byId('links-card').hidden = now.links.length === 0;
    update(
        byId('links'),
        now.links.map((link) => linkRow(link, now.devices)),
    );
    drawModels(now);
}

export function redraw() {
    if (state) drawPicture(state);
}

function offline(text, ...more) {
    const banner = byId('offline');
    banner.hidden = text === '';
    if (banner.firstChild?.data !== text) banner.replaceChildren(text, ...more);
    document.body.classList.toggle('offline', text !== '');
}

/** Until one wants to type the key after all. */
const wanted = () =>
    new Promise((done) =>
        offline('Without its key this device tells nothing. ', button('Type the key', done)),
    );

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const seen = () =>
    new Promise((done) => {
        if (!document.hidden) done();
        else document.addEventListener('visibilitychange', () => done(seen()), { once: true });
    });

/** Once: until the stream ends, breaks, or nobody looks any more. */
async function watchOnce() {
    const abort = new AbortController();
    const leave = () => document.hidden && abort.abort();
    document.addEventListener('visibilitychange', leave);
    try {
        const response = await request('v1/cluster', {
            accept: 'text/event-stream',
            signal: abort.signal,
        });
        for await (const { data } of events(response)) {
            if (data === undefined) continue;
            const now = JSON.parse(data);
            if (now.error) throw new Error(now.error.message);
            offline('');
            draw(now);
            await refreshModels(now);
        }
        throw new Error('the stream ended');
    } finally {
        document.removeEventListener('visibilitychange', leave);
        abort.abort();
    }
}

/** For ever. A hidden page holds no connection. */
export async function watch() {
    for (;;) {
        await seen();
        try {
            await watchOnce();
        } catch (error) {
            before = null;
            if (error.name === 'AbortError') continue;
            if (error.status === 401) {
                await wanted();
                continue;
            }
            offline('This device does not answer. The page tries again.');
        }
        await pause(AGAIN_MS);
    }
}
