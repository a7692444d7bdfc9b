// A browser with the page of a real daemon. Run by tests/system/page_test.py, which installs the
// package of package.json beside these files. The model's weights are noise: an answer that must
// say something is held to it by a grammar, which is added to what the page sends.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

export const url = process.env.SHOAL_URL; // "http://127.0.0.1:8090"
const control = process.env.SHOAL_CONTROL; // does to the devices what a test asks for

export const patience = 30_000;

/** A page in a browser of its own. What it asks of others, and what it complains about, is in
 *  `foreign` and `complaints`. */
export async function open({ width = 1280, height = 900, path = '/', ...context } = {}) {
    const browser = await chromium.launch({
        executablePath: process.env.CHROMIUM,
        args: ['--no-sandbox', '--disable-gpu'],
    });
    const made = await browser.newContext({ viewport: { width, height }, ...context });
    const page = await made.newPage();
    page.setDefaultTimeout(patience);
    const foreign = [];
    const complaints = [];
    page.on('request', (request) => {
        if (new URL(request.url()).origin !== url) foreign.push(request.url());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
        if (message.type() === 'error') complaints.push(message.text());
    });
    await page.goto(url + path);
    return { browser, page, foreign, complaints };
}

/** What the page asks for has these fields, too, from now on. */
export async function adds(page, fields) {
    await page.route('**/v1/chat/completions', (route) => {
        const body = { ...route.request().postDataJSON(), ...fields };
        route.continue({ postData: JSON.stringify(body) });
    });
}

/** Answers are `text` from now on. */
export function answersAre(page, text) {
    return adds(page, { grammar: `root ::= ${JSON.stringify(text)}` });
}

/** An answer does not end by itself. */
export function endless(page) {
    return adds(page, { ignore_eos: true });
}

export async function say(page, text) {
    await page.fill('#prompt', text);
    await page.press('#prompt', 'Enter');
}

/** Until no answer comes any more. */
export async function answered(page) {
    await page.waitForFunction(() => !document.body.classList.contains('answering'));
}

export async function cluster() {
    return (await fetch(`${url}/v1/cluster`)).json();
}

export async function until(what, condition) {
    const end = Date.now() + patience;
    while (Date.now() < end) {
        if (await condition()) return;
        await new Promise((done) => setTimeout(done, 50));
    }
    assert.fail(`not in time: ${what}`);
}

/** "kill", "start", "stop" of the last device; returns when it is done. */
export async function devices(what) {
    const answer = await fetch(`${control}/${what}`);
    assert.equal(answer.status, 200, await answer.text());
}
