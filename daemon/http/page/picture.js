// The cluster as a picture: devices on an oval, the links between them, and whose each part of the
// model is.
import { byId, el, grow, rounded, svg, update } from './dom.js';

const RADIUS = 27;
const RING = 2 * Math.PI * RADIUS;
const COLOURS = 8;
// What rings and names need around a device.
const SIDE = 62;
const ABOVE = 42;
const BELOW = 76;
const NARROW = 450;
// Beyond these, numbers at links would lie on each other.
const MAX_LABELLED_LINKS = 6;
const GIGABIT = 125e6;

/** The colour of a device, by its place among the ids, so that it keeps it when ranks change. */
export function colours(devices) {
    const ids = devices.map(({ id }) => id).sort();
    return new Map(ids.map((id, i) => [id, `d${i % COLOURS}`]));
}

/** Points of an oval, the first above; two stand beside each other. They fill the width and height
 *  that names and rings leave. */
function places(devices, width, height) {
    const turn = devices.length === 2 ? Math.PI : -Math.PI / 2;
    const angles = devices.map((_, i) => turn + (2 * Math.PI * i) / devices.length);
    const x = stretched(angles.map(Math.cos), SIDE, width - SIDE);
    const y = stretched(angles.map(Math.sin), ABOVE, height - BELOW);
    return new Map(devices.map(({ id }, i) => [id, { x: x[i], y: y[i] }]));
}

function stretched(values, from, to) {
    const least = Math.min(...values);
    const span = Math.max(...values) - least;
    if (span < 1e-6) return values.map(() => (from + to) / 2);
    return values.map((value) => from + ((value - least) / span) * (to - from));
}

export function exchange(us) {
    return us < 1000 ? `${Math.round(us)} µs` : `${rounded(us / 1000)} ms`;
}

export function bandwidth(bytesPerSecond) {
    const bits = bytesPerSecond * 8;
    return bits >= 1e9 ? `${rounded(bits / 1e9)} Gbit/s` : `${Math.round(bits / 1e6)} Mbit/s`;
}

const linkTitle = ({ exchange_us, bytes_per_second }) =>
    `an exchange takes ${exchange(exchange_us)}; ${bandwidth(Math.min(...bytes_per_second))}`;

function link(a, b, measured, alive, labelled) {
    const slowest = measured ? Math.min(...measured.bytes_per_second) : 0;
    const width = measured
        ? Math.min(6, Math.max(1.5, 2 + Math.log10(slowest / GIGABIT) * 1.5))
        : 1;
    const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    return svg(
        'g',
        { class: `link${measured ? '' : ' guessed'}${alive ? '' : ' gone'}` },
        svg(
            'line',
            { x1: a.x, y1: a.y, x2: b.x, y2: b.y, 'stroke-width': width.toFixed(1) },
            measured && svg('title', {}, linkTitle(measured)),
        ),
        measured &&
            labelled &&
            alive &&
            svg('text', { x: middle.x, y: middle.y - 5 }, exchange(measured.exchange_us)),
    );
}

function links(state, at) {
    const { devices } = state;
    const labelled = (devices.length * (devices.length - 1)) / 2 <= MAX_LABELLED_LINKS;
    const made = [];
    devices.forEach((a, i) =>
        devices.slice(i + 1).forEach((b) => {
            const measured = state.links.find(
                ({ devices: [p, q] }) => (p === a.id && q === b.id) || (p === b.id && q === a.id),
            );
            made.push(link(at.get(a.id), at.get(b.id), measured, a.alive && b.alive, labelled));
        }),
    );
    return made;
}

/** The ring says how much of the memory is in use. */
function node(device, { x, y }, colour, width) {
    const { total, available } = device.memory;
    const used = total > 0 ? 1 - available / total : 0;
    const classes = [
        'node',
        colour,
        device.alive ? '' : 'gone',
        device.rank === null ? 'spare' : '',
    ];
    return svg(
        'g',
        { class: classes.join(' '), transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
        svg('circle', { class: 'ring', r: RADIUS }),
        device.alive &&
            svg('circle', {
                class: 'used',
                r: RADIUS,
                transform: 'rotate(-90)',
                'stroke-dasharray': `${(used * RING).toFixed(1)} ${RING.toFixed(1)}`,
            }),
        svg('circle', { class: 'disc', r: RADIUS - 6 }),
        device.root
            ? svg('path', { class: 'crown', d: 'M-10 7v-13l5 5 5-8 5 8 5-5v13z' })
            : svg(
                  'text',
                  { class: 'rank', y: 5 },
                  device.rank === null ? '–' : String(device.rank),
              ),
        svg('text', { class: 'name', y: RADIUS + 17 }, short(device.name, width)),
        svg(
            'text',
            { class: 'state', y: RADIUS + 32 },
            device.self ? `${device.state}, here` : device.state,
        ),
    );
}

function said(state) {
    const there = state.devices.filter(({ alive }) => alive).map(({ name }) => name);
    const lost = state.devices.filter(({ alive }) => !alive).map(({ name }) => name);
    const root = state.devices.find((device) => device.root);
    return (
        `${there.join(', ')}; ${root ? `${root.name} leads` : 'none leads yet'}` +
        (lost.length ? `; lost: ${lost.join(', ')}` : '')
    );
}

// A narrow oval must be high, for its names not to lie on each other.
function heightFor(count, width) {
    if (count <= 2) return ABOVE + BELOW;
    if (count <= 4) return 230;
    return width < NARROW ? 480 : 340;
}

function short(name, width) {
    const most = width < NARROW ? 11 : 16;
    return name.length <= most ? name : `${name.slice(0, most - 1)}…`;
}

export function drawPicture(state) {
    const box = byId('picture');
    const width = Math.max(280, box.clientWidth - 2);
    const height = heightFor(state.devices.length, width);
    const at = places(state.devices, width, height);
    const colour = colours(state.devices);
    update(box, [
        svg(
            'svg',
            {
                viewBox: `0 0 ${width} ${height}`,
                role: 'img',
                'aria-label': said(state),
                class: state.requests.running ? 'works' : '',
            },
            links(state, at),
            state.devices.map((device) =>
                node(device, at.get(device.id), colour.get(device.id), width),
            ),
        ),
        el(
            'p',
            { class: 'note legend' },
            'Crown: the root. Ring: memory in use. Line: the link, thicker where it is faster, ' +
                'with the time of one exchange.',
        ),
    ]);
}

const PARTS = [
    ['q_heads', 'Attention heads'],
    ['kv_heads', 'KV heads'],
    ['ffn_columns', 'Feed-forward columns'],
    ['vocab_rows', 'Vocabulary rows'],
];

/** "0–3" of the half-open range [0, 4]. */
export function range([begin, end]) {
    if (end <= begin) return 'none';
    return end - begin === 1 ? String(begin) : `${begin}–${end - 1}`;
}

function part(planned, colour, key, title) {
    const segments = planned.filter(({ slice }) => slice[key][1] > slice[key][0]);
    return el(
        'div',
        { class: 'part' },
        el('span', { class: 'part-name' }, title),
        el(
            'ul',
            { class: 'bar', 'aria-label': title },
            segments.map((device) => {
                const [begin, end] = device.slice[key];
                return grow(
                    el(
                        'li',
                        {
                            class: `${colour.get(device.id)} segment${device.alive ? '' : ' gone'}`,
                            title: `${device.name}: ${range([begin, end])}`,
                        },
                        el('span', { class: 'unseen' }, `${device.name}: `),
                        range([begin, end]),
                    ),
                    end - begin,
                );
            }),
        ),
    );
}

export function drawParts(state) {
    const planned = state.devices.filter(({ rank }) => rank !== null);
    const colour = colours(state.devices);
    update(
        byId('parts'),
        planned.length
            ? PARTS.map(([key, title]) => part(planned, colour, key, title))
            : [el('p', { class: 'note' }, 'No model is loaded; the first question loads one.')],
    );
}
