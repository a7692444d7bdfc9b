// Markdown as elements. What a model writes is not to be trusted: it becomes text, and elements of
// the few kinds made here. Nothing is loaded; only http and https become links. What is no
// Markdown stands there as it is. Each search that fails is not tried again further on, so the time
// grows with the text alone.
import { button, el } from './dom.js';

const MAX_DEPTH = 8;
const MAX_LABEL = 1000;

const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/;
const RULE = /^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const TABLE_RULE = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$/;

const blank = (line) => line.trim() === '';
const beginsTable = (lines, i) =>
    lines[i].includes('|') &&
    i + 1 < lines.length &&
    lines[i + 1].includes('-') &&
    lines[i + 1].includes('|') &&
    TABLE_RULE.test(lines[i + 1].trim());
const beginsBlock = (lines, i) =>
    [FENCE, HEADING, RULE, ITEM, QUOTE].some((form) => form.test(lines[i])) ||
    beginsTable(lines, i);

/** What the lines hold, in order: [{kind, lines}]. */
function blocks(lines) {
    const found = [];
    for (let i = 0; i < lines.length;) {
        if (blank(lines[i])) {
            i++;
            continue;
        }
        const kind = kindOf(lines, i);
        const to = endOf(kind, lines, i);
        found.push({ kind, lines: lines.slice(i, to) });
        i = to;
    }
    return found;
}

function kindOf(lines, i) {
    if (FENCE.test(lines[i])) return 'code';
    if (HEADING.test(lines[i])) return 'heading';
    if (RULE.test(lines[i])) return 'rule';
    if (QUOTE.test(lines[i])) return 'quote';
    if (ITEM.test(lines[i])) return 'list';
    return beginsTable(lines, i) ? 'table' : 'paragraph';
}

function endOf(kind, lines, from) {
    let i = from + 1;
    const until = (stops) => {
        while (i < lines.length && !stops(lines[i])) i++;
        return i;
    };
    switch (kind) {
        case 'code': {
            const mark = FENCE.exec(lines[from])[1];
            return Math.min(until((line) => closes(line, mark)) + 1, lines.length);
        }
        case 'quote':
            return until((line) => !QUOTE.test(line));
        case 'table':
            return until((line) => !line.includes('|'));
        case 'list':
            // A blank line belongs to it when the list goes on behind it.
            for (; i < lines.length; i++) {
                if (!blank(lines[i])) {
                    const inside = ITEM.test(lines[i]) || /^\s{2,}/.test(lines[i]);
                    if (!inside && (blank(lines[i - 1]) || beginsBlock(lines, i))) break;
                }
            }
            return i;
        case 'paragraph':
            while (i < lines.length && !blank(lines[i]) && !beginsBlock(lines, i)) i++;
            return i;
        default:
            return i;
    }
}

function closes(line, mark) {
    const bare = line.trim();
    return bare.length >= mark.length && bare === mark[0].repeat(bare.length);
}

function copyButton(text) {
    return button(
        'Copy',
        async (event) => {
            await navigator.clipboard?.writeText(text);
            event.target.textContent = navigator.clipboard ? 'Copied' : 'Select it to copy';
        },
        { class: 'small copy' },
    );
}

function codeBlock({ lines }) {
    const [, mark, about] = FENCE.exec(lines[0]);
    const closed = lines.length > 1 && closes(lines[lines.length - 1], mark);
    const text = lines.slice(1, closed ? -1 : undefined).join('\n');
    return el(
        'div',
        { class: 'code' },
        el(
            'div',
            { class: 'code-head' },
            el('span', {}, about.trim().split(/\s/, 1)[0] || 'code'),
            copyButton(text),
        ),
        el('pre', { tabindex: '0' }, el('code', {}, text)),
    );
}

function list(lines, depth) {
    const [, indent, mark] = ITEM.exec(lines[0]);
    const ordered = /\d/.test(mark);
    const items = [];
    for (const line of lines) {
        const item = ITEM.exec(line);
        if (item && item[1].length < indent.length + 2) items.push([item[3]]);
        else
            items[items.length - 1].push(
                line.slice(Math.min(indent.length + 2, line.search(/\S|$/))),
            );
    }
    const start = ordered ? parseInt(mark, 10) : 1;
    return el(
        ordered ? 'ol' : 'ul',
        { start: start !== 1 && start },
        items.map((item) => el('li', {}, inItem(item, depth))),
    );
}

// A tight item is text, not a paragraph.
function inItem(lines, depth) {
    const made = elements(lines, depth + 1);
    if (made[0]?.nodeName !== 'P') return made;
    return [...made[0].childNodes, ...made.slice(1)];
}

// Of "## Title ##".
function withoutMarks(text) {
    const bare = text.trim();
    let end = bare.length;
    while (bare[end - 1] === '#') end--;
    return end < bare.length && /\s|^$/.test(bare[end - 1] ?? '')
        ? bare.slice(0, end).trimEnd()
        : bare;
}

function cells(line) {
    const bare = line.trim().replace(/^\|/, '').replace(/\|$/, '');
    return bare.split('|').map((cell) => cell.trim());
}

function table(lines) {
    const head = cells(lines[0]);
    const row = (kind) => (line) =>
        el(
            'tr',
            {},
            cells(line)
                .slice(0, head.length)
                .map((cell) => el(kind, {}, inline(cell))),
        );
    return el(
        'div',
        { class: 'table', tabindex: '0' },
        el(
            'table',
            {},
            el('thead', {}, row('th')(lines[0])),
            el('tbody', {}, lines.slice(2).map(row('td'))),
        ),
    );
}

function element({ kind, lines }, depth) {
    switch (kind) {
        case 'code':
            return codeBlock({ lines });
        case 'rule':
            return el('hr');
        case 'table':
            return table(lines);
        case 'heading': {
            const [, marks, text] = HEADING.exec(lines[0]);
            // The page's own headings end with h3.
            return el(`h${Math.min(marks.length + 3, 6)}`, {}, inline(withoutMarks(text)));
        }
        case 'quote':
            return el(
                'blockquote',
                {},
                elements(
                    lines.map((line) => line.replace(QUOTE, '')),
                    depth + 1,
                ),
            );
        case 'list':
            return list(lines, depth);
        default:
            return el('p', {}, inline(lines.join('\n')));
    }
}

function elements(lines, depth) {
    if (depth > MAX_DEPTH) return [el('p', {}, lines.join('\n'))];
    return blocks(lines).map((block) => element(block, depth));
}

export function safeLink(address) {
    try {
        const { protocol, href } = new URL(address);
        return protocol === 'http:' || protocol === 'https:' ? href : null;
    } catch {
        return null;
    }
}

function link(address, children) {
    return el(
        'a',
        { href: address, title: address, target: '_blank', rel: 'noopener noreferrer nofollow' },
        children,
    );
}

const PAIRS = [
    ['**', 'strong'],
    ['__', 'strong'],
    ['~~', 'del'],
    ['*', 'em'],
    ['_', 'em'],
];
// [label](address "title"); an address may have one pair of brackets.
const LINK_ADDRESS = /[^\s<>()]{1,2000}(?:\([^\s<>()]{0,200}\)[^\s<>()]{0,200})?/.source;
const LINK_TITLE = /(?: {1,3}"[^"\n]{0,200}")?/.source;
const LINK = new RegExp(
    `!?\\[([^\\[\\]\\n]{0,${MAX_LABEL}})\\]\\( {0,3}<?(${LINK_ADDRESS})>?${LINK_TITLE} {0,3}\\)`,
    'y',
);
const ADDRESS = /https?:\/\/[^\s<>"'`]{1,2000}/y;
const WORD = /[\p{L}\p{N}]/u;

/** Text within a block as nodes. */
function inline(text, depth = 0) {
    const out = [];
    const missing = new Set();
    let plain = '';
    const put = (node) => {
        if (plain) out.push(plain);
        plain = '';
        if (node) out.push(node);
    };
    for (let i = 0; i < text.length;) {
        const found = depth < MAX_DEPTH && span(text, i, missing, depth);
        if (!found) {
            plain += text[i++];
            continue;
        }
        if (typeof found.node === 'string') plain += found.node;
        else put(found.node);
        i = found.end;
    }
    put();
    return out;
}

/** What begins at `i`, if it is anything: {node, end}. */
function span(text, i, missing, depth) {
    switch (text[i]) {
        case '\\':
            return /[!-/:-@[-`{-~]/.test(text[i + 1] ?? '') && { node: text[i + 1], end: i + 2 };
        case '`':
            return codeSpan(text, i, missing);
        case '!':
        case '[':
            return linkAt(text, i, depth);
        case '*':
        case '_':
        case '~':
            return pair(text, i, missing, depth);
        case 'h':
            return !WORD.test(text[i - 1] ?? '') && address(text, i);
        default:
            return null;
    }
}

function codeSpan(text, i, missing) {
    let end = i;
    while (text[end] === '`') end++;
    const mark = text.slice(i, end);
    const whole = { node: mark, end };
    if (missing.has(mark)) return whole;
    for (let at = end; (at = text.indexOf(mark, at)) >= 0;) {
        let after = at;
        while (text[after] === '`') after++;
        if (after - at === mark.length) {
            const code = text.slice(end, at).replace(/\n/g, ' ');
            return {
                node: el('code', {}, code.trim() === '' ? code : code.replace(/^ (.*) $/, '$1')),
                end: after,
            };
        }
        at = after;
    }
    missing.add(mark);
    return whole;
}

// A picture is a link like others: nothing foreign is loaded unasked.
function linkAt(text, i, depth) {
    LINK.lastIndex = i;
    const found = LINK.exec(text);
    const href = found && safeLink(found[2]);
    if (!href) return null;
    return { node: link(href, inline(found[1] || found[2], depth + 1)), end: LINK.lastIndex };
}

// Of "see https://a.example/."
function withoutPunctuation(text) {
    let end = text.length;
    while ('.,;:!?)]*_'.includes(text[end - 1] ?? ' ')) end--;
    return text.slice(0, end);
}

function address(text, i) {
    ADDRESS.lastIndex = i;
    const found = withoutPunctuation(ADDRESS.exec(text)?.[0] ?? '');
    const href = found && safeLink(found);
    return href && { node: link(href, [found]), end: i + found.length };
}

function pair(text, i, missing, depth) {
    for (const [mark, tag] of PAIRS) {
        if (!text.startsWith(mark, i) || missing.has(mark)) continue;
        const from = i + mark.length;
        if (/\s/.test(text[from] ?? ' ')) continue;
        if (mark[0] === '_' && WORD.test(text[i - 1] ?? '')) continue;
        const end = closing(text, from, mark);
        if (end < 0) {
            missing.add(mark);
            continue;
        }
        return {
            node: el(tag, {}, inline(text.slice(from, end), depth + 1)),
            end: end + mark.length,
        };
    }
    // Marks in a row that mean nothing are passed together.
    let end = i;
    while (text[end] === text[i]) end++;
    return { node: text.slice(i, end), end };
}

function closing(text, from, mark) {
    for (let at = from; (at = text.indexOf(mark, at)) >= 0; at++) {
        const after = text[at + mark.length] ?? '';
        const single = mark.length === 1 && (after === mark || text[at - 1] === mark);
        const inWord = mark[0] === '_' && WORD.test(after);
        if (at === from || single || inWord || /\s/.test(text[at - 1])) continue;
        // Of three marks the first closes what begins inside.
        return mark.length === 2 && after === mark[0] ? at + 1 : at;
    }
    return -1;
}

const drawn = new WeakMap();

/** Shows `text` in `node`. While an answer grows, only its last blocks are made anew. */
export function draw(node, text) {
    const wanted = blocks(text.split('\n'));
    const sources = wanted.map(({ lines }) => lines.join('\n'));
    const before = drawn.get(node) ?? [];
    let same = 0;
    while (same < before.length && before[same] === sources[same]) same++;
    while (node.childNodes.length > same) node.lastChild.remove();
    node.append(...wanted.slice(same).map((block) => element(block, 0)));
    drawn.set(node, sources);
}
