// Small charts of what changed in the last minutes.
import { byId, el, rounded, svg, update } from './dom.js';

const SPAN_MS = 5 * 60_000;
const WIDTH = 300;
const HEIGHT = 70;

/** {title, unit, points: [{time, value}], joined}: joined points make a line, others stand alone. */
export class Series {
    constructor(title, unit, joined, empty) {
        Object.assign(this, { title, unit, joined, empty, points: [] });
    }
    add(value, time = Date.now()) {
        this.points.push({ time, value });
        while (this.points[0].time < time - SPAN_MS) this.points.shift();
    }
}

const x = (time, now) => (WIDTH * (1 - (now - time) / SPAN_MS)).toFixed(1);

function line(points, most, now) {
    const y = (value) => (HEIGHT - 4 - (HEIGHT - 10) * (value / most)).toFixed(1);
    const path = points.map(({ time, value }) => `${x(time, now)},${y(value)}`).join(' ');
    const left = x(points[0].time, now);
    const right = x(points[points.length - 1].time, now);
    return [
        svg('polygon', { class: 'area', points: `${left},${HEIGHT} ${path} ${right},${HEIGHT}` }),
        svg('polyline', { class: 'line', points: path }),
    ];
}

function bars(points, most, now) {
    return points.map(({ time, value }) => {
        const height = Math.max(2, (HEIGHT - 10) * (value / most));
        return svg('rect', {
            class: 'stick',
            x: x(time, now) - 3,
            width: 4,
            y: HEIGHT - height,
            height,
            rx: 1,
        });
    });
}

function chart({ title, unit, points, joined, empty }) {
    const now = Date.now();
    const shown = points.filter(({ time }) => time > now - SPAN_MS);
    const most = Math.max(...shown.map(({ value }) => value), 0);
    const last = shown[shown.length - 1]?.value;
    const value = last === undefined ? '–' : `${rounded(last)} ${unit}`;
    const about = most > 0 ? `at most ${rounded(most)} ${unit} in five minutes` : empty;
    return el(
        'figure',
        { class: 'card chart' },
        el('figcaption', {}, el('span', {}, title), el('strong', {}, value)),
        svg(
            'svg',
            {
                viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
                preserveAspectRatio: 'none',
                'aria-hidden': 'true',
            },
            svg('line', { class: 'ground', x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }),
            most > 0 && (joined ? line : bars)(shown, most, now),
        ),
        el('p', { class: 'note' }, about),
    );
}

export function drawCharts(all) {
    update(byId('charts'), all.map(chart));
}
