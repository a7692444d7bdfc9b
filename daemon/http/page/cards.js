// Devices, links, models and warnings in words.
import { bytes, el, grow, rounded } from './dom.js';
import { bandwidth, exchange, range } from './picture.js';

export function warning({ severity, text, remedy, device }, devices) {
    const about = devices.find(({ id }) => id === device)?.name;
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

function away({ round_trip_ms, link }) {
    const waited = link && `, waited for ${exchange(link.wait_p50_us)} a sum`;
    return `${exchange(round_trip_ms * 1000)} there and back${waited || ''}`;
}

export function deviceCard(d, colour) {
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
                row('Heads', `${range(slice.q_heads)}, KV ${range(slice.kv_heads)}`),
                row('Columns', range(slice.ffn_columns)),
                row('Rows', range(slice.vocab_rows)),
                row('Weights', bytes(slice.weight_bytes)),
                row('KV cache', bytes(slice.kv_bytes)),
                !d.self && d.round_trip_ms !== null && row('From here', away(d)),
            ),
    );
}

function parameters(count) {
    const billions = count >= 1e9;
    return `${rounded(count / (billions ? 1e9 : 1e6))} ${billions ? 'billion' : 'million'} parameters`;
}

export function modelCard(m, now) {
    const loaded = now.model?.hash === m.hash;
    const parked = now.loaded.find(({ hash, at_work }) => hash === m.hash && !at_work);
    const loading = loaded && now.devices.find((d) => d.state.startsWith('loading'));
    const holders = now.devices
        .filter(({ id }) => m.devices.includes(id))
        .map(({ name }) => name)
        .sort();
    const facts = [
        m.architecture,
        m.quantisation,
        parameters(m.parameters),
        bytes(m.file_bytes),
        `context ${loaded ? now.model.context : (parked?.context ?? m.context)}`,
    ];
    return el(
        'li',
        { class: 'card model' },
        el(
            'h4',
            {},
            m.id,
            loaded && el('span', { class: 'badge' }, loading ? loading.state : 'loaded'),
            !loaded && parked && el('span', { class: 'badge' }, 'in memory'),
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

/** A row of the table of links. */
export function linkRow({ devices: [from, to], exchange_us, bytes_per_second, cipher }, devices) {
    const name = (id) => devices.find((d) => d.id === id)?.name ?? id.slice(0, 8);
    const [there, back] = bytes_per_second.map(bandwidth);
    return el(
        'tr',
        {},
        el('th', { scope: 'row' }, `${name(from)} – ${name(to)}`),
        el('td', {}, exchange(exchange_us)),
        el('td', {}, `${there} / ${back}`),
        el('td', {}, cipher),
    );
}
