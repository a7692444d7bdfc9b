// What the device says of the cluster, and how one sees it.
import { events, json, request } from './api.js';
import { Series, drawCharts } from './charts.js';
import { offerModels } from './chat.js';
import { announce, byId, bytes, el, grow, rounded, update } from './dom.js';
import { colours, drawParts, drawPicture, range } from './picture.js';

const AGAIN_MS = 2000;
const MODELS_EVERY_MS = 15_000;

const speed = new Series('Speed', 'tokens/s', true, 'nothing was generated yet');
const first = new Series('Time to first token', 's', false, 'of answers on this page');
const cache = new Series('KV cache in use', '% of the context', false, 'by answers on this page');

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
    if (now.tokens_per_second > 0) said.push(`${rounded(now.tokens_per_second)} tokens/s`);
    return said.join(' · ');
}

function warning({ severity, text, remedy, device }) {
    const about = state.devices.find(({ id }) => id === device)?.name;
    return el(
        'li',
        { class: `warning ${severity}` },
        el(
            'strong',
            {},
            { error: 'Error', warning: 'Warning', notice: 'Notice' }[severity] ?? severity,
        ),
        about && ` on ${about}`,
        ': ',
        text,
        remedy && el('span', { class: 'remedy' }, remedy),
    );
}

function row(name, value) {
    return [el('dt', {}, name), el('dd', {}, value)];
}

function memory({ total, available }) {
    const used = total - available;
    return el(
        'div',
        { class: 'memory' },
        el(
            'div',
            {
                class: 'meter',
                role: 'img',
                'aria-label': `${Math.round((100 * used) / total)} % of the memory is in use`,
            },
            grow(el('span', { class: 'full' }), used),
            grow(el('span', {}), available),
        ),
        el('span', {}, `${bytes(available)} free of ${bytes(total)}`),
    );
}

function device(d, colour) {
    const { slice } = d;
    return el(
        'li',
        { class: `card device${d.alive ? '' : ' gone'}` },
        el(
            'h4',
            {},
            el('span', { class: `swatch ${colour}` }),
            d.name,
            d.root && el('span', { class: 'badge' }, 'root'),
            d.self && el('span', { class: 'badge' }, 'this device'),
        ),
        el(
            'p',
            { class: 'note' },
            [d.state, d.address, `${d.cpu}, ${d.threads} thread${d.threads === 1 ? '' : 's'}`]
                .filter(Boolean)
                .join(' · '),
        ),
        d.alive && d.memory.total > 0 && memory(d.memory),
        d.alive &&
            d.rank !== null &&
            el(
                'dl',
                {},
                row('Heads', range(slice.q_heads)),
                row('KV heads', range(slice.kv_heads)),
                row('Columns', range(slice.ffn_columns)),
                row('Rows', range(slice.vocab_rows)),
                row('Weights', bytes(slice.weight_bytes)),
                row('KV cache', bytes(slice.kv_bytes)),
                d.round_trip_ms !== null && row('Round trip', `${rounded(d.round_trip_ms)} ms`),
                d.link && row('Waited for it', `${Math.round(d.link.wait_p50_us)} µs`),
            ),
    );
}

function model(m, now) {
    const loaded = now.model?.hash === m.hash;
    const loading = loaded && now.devices.find((d) => d.state.startsWith('loading'));
    const holders = now.devices.filter(({ id }) => m.devices.includes(id)).map(({ name }) => name);
    const facts = [
        m.architecture,
        m.quantisation,
        `${rounded(m.parameters / 1e9)} billion parameters`,
        bytes(m.file_bytes),
        `context ${loaded ? now.model.context : m.context}`,
    ];
    return el(
        'li',
        { class: 'card model' },
        el(
            'h4',
            {},
            m.id,
            loaded && el('span', { class: 'badge' }, loading ? loading.state : 'loaded'),
        ),
        el('p', { class: 'note' }, facts.join(' · ')),
        el(
            'p',
            { class: 'note' },
            holders.length
                ? `File on ${holders.join(', ')}`
                : 'No device that is here has the file',
        ),
    );
}

function drawModels(now) {
    const empty = now.reading_models
        ? 'The devices are looking through their folders …'
        : 'No device has a model: put a GGUF file into a folder of models.';
    update(
        byId('models'),
        models.length ? models.map((m) => model(m, now)) : [el('li', { class: 'note' }, empty)],
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
    update(byId('warnings'), now.warnings.map(warning));
    drawPicture(now);
    drawParts(now);
    drawCharts([speed, first, cache]);
    const colour = colours(now.devices);
    update(
        byId('devices'),
        now.devices.map((d) => device(d, colour.get(d.id))),
    );
    drawModels(now);
}

export function redraw() {
    if (state) drawPicture(state);
}

function offline(text) {
    byId('offline').hidden = text === '';
    if (byId('offline').textContent !== text) byId('offline').textContent = text;
    document.body.classList.toggle('offline', text !== '');
}

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
            offline(
                error.status === 401
                    ? 'Without its key this device tells nothing. Load the page again to type it.'
                    : 'This device does not answer. The page tries again.',
            );
            if (error.status === 401) return;
        }
        await pause(AGAIN_MS);
    }
}
