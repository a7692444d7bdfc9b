// Elements. Text only ever becomes text: nothing here, and nobody else, parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
        if (value === true) node.setAttribute(name, '');
        else if (value !== false && value != null) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child != null && child !== false));
    return node;
}

/** el('p', {class: 'note'}, 'text', child) */
export function el(tag, attributes = {}, ...children) {
    return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
    return fill(document.createElementNS(SVG, tag), attributes, children);
}

export const byId = (id) => document.getElementById(id);

export function button(text, act, attributes = {}) {
    const made = el('button', { type: 'button', ...attributes }, text);
    made.addEventListener('click', act);
    return made;
}

/** Lengths are set as properties: the page's policy allows no style attributes. */
export function grow(node, share) {
    node.style.flexGrow = String(share);
    return node;
}

function sameKind(a, b) {
    return a.nodeType === b.nodeType && a.nodeName === b.nodeName;
}

function takeAttributes(node, wanted) {
    for (const { name } of [...node.attributes]) {
        if (name !== 'style' && !wanted.hasAttribute(name)) node.removeAttribute(name);
    }
    for (const { name, value } of wanted.attributes) {
        if (name !== 'style' && node.getAttribute(name) !== value) node.setAttribute(name, value);
    }
    if (wanted.style) {
        for (const name of ['flexGrow', 'width']) {
            if (node.style[name] !== wanted.style[name]) node.style[name] = wanted.style[name];
        }
    }
}

/** Makes the children of `node` like these and touches no more than it must: what one has selected
 *  or hears read stays as it is while numbers around it change. */
export function update(node, children) {
    const wanted = children.flat().filter((child) => child != null && child !== false);
    wanted.forEach((child, i) => {
        const fresh = typeof child === 'string' ? document.createTextNode(child) : child;
        const old = node.childNodes[i];
        if (!old) node.append(fresh);
        else if (!sameKind(old, fresh)) old.replaceWith(fresh);
        else if (old.nodeType === Node.TEXT_NODE) {
            if (old.data !== fresh.data) old.data = fresh.data;
        } else {
            takeAttributes(old, fresh);
            update(old, [...fresh.childNodes]);
        }
    });
    while (node.childNodes.length > wanted.length) node.lastChild.remove();
}

/** Said by a screen reader, and by nothing else. */
export function announce(text) {
    byId('announce').textContent = text;
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(count) {
    let unit = 0;
    for (; count >= 1024 && unit + 1 < UNITS.length; unit++) count /= 1024;
    return `${count < 10 && unit > 0 ? count.toFixed(1) : Math.round(count)} ${UNITS[unit]}`;
}

export function rounded(value) {
    if (value === 0) return '0';
    return value >= 100 ? String(Math.round(value)) : value.toFixed(value >= 10 ? 1 : 2);
}
