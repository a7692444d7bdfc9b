// Markdown of an answer: what it should do, and that nothing else happens.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answered, answersAre, open, say } from './browser.mjs';

let here, page;
before(async () => {
    here = await open();
    page = here.page;
});
after(() => here.browser.close());

/** What the page's own Markdown makes of a text: its HTML as the browser writes it. */
async function drawn(text) {
    return page.evaluate(async (markdown) => {
        const { draw } = await import('/page/markdown.js');
        const node = document.createElement('div');
        draw(node, markdown);
        return node.innerHTML;
    }, text);
}

const cases = [
    ['a paragraph\nof two lines', '<p>a paragraph\nof two lines</p>'],
    ['# One\n\ntwo', '<h4>One</h4><p>two</p>'],
    ['## Two ##', '<h5>Two</h5>'],
    [
        '**bold**, *italic*, __bold__, _italic_, ~~gone~~',
        '<p><strong>bold</strong>, <em>italic</em>, ' +
            '<strong>bold</strong>, <em>italic</em>, <del>gone</del></p>',
    ],
    ['***both***', '<p><strong><em>both</em></strong></p>'],
    ['a snake_case_name and 2 * 3 * 4', '<p>a snake_case_name and 2 * 3 * 4</p>'],
    ['`a < b` and ``a ` b``', '<p><code>a &lt; b</code> and <code>a ` b</code></p>'],
    ['\\*not\\*', '<p>*not*</p>'],
    ['- a\n- b\n  - c\n\n  more', '<ul><li>a</li><li>b<ul><li>c</li></ul><p>more</p></li></ul>'],
    ['3. a\n4. b', '<ol start="3"><li>a</li><li>b</li></ol>'],
    ['> a\n> b', '<blockquote><p>a\nb</p></blockquote>'],
    ['a\n\n---\n\nb', '<p>a</p><hr><p>b</p>'],
    ['<b>not</b> & so', '<p>&lt;b&gt;not&lt;/b&gt; &amp; so</p>'],
];

test('the usual forms become elements', async () => {
    for (const [text, html] of cases) assert.equal(await drawn(text), html, text);
});

test('code keeps its text, also while it is not closed, and tables their cells', async () => {
    const code = await drawn('```js\n<a> **b**\n```\nafter');
    assert.match(
        code,
        /<pre tabindex="0"><code>&lt;a&gt; \*\*b\*\*<\/code><\/pre><\/div><p>after<\/p>$/,
    );
    assert.match(await drawn('~~~\nopen'), /<code>open<\/code>/);
    const table = await drawn('| a | b |\n|---|:-:|\n| 1 | *2* |');
    assert.match(table, /<thead><tr><th>a<\/th><th>b<\/th><\/tr><\/thead>/);
    assert.match(table, /<tbody><tr><td>1<\/td><td><em>2<\/em><\/td><\/tr><\/tbody>/);
});

test('only http and https become links, and pictures are links', async () => {
    const rest = 'target="_blank" rel="noopener noreferrer nofollow"';
    const link = (address, text) => `<a href="${address}" title="${address}" ${rest}>${text}</a>`;
    assert.equal(
        await drawn('[a](https://b.example/c)'),
        `<p>${link('https://b.example/c', 'a')}</p>`,
    );
    assert.equal(
        await drawn('![a](http://b.example/c.png)'),
        `<p>${link('http://b.example/c.png', 'a')}</p>`,
    );
    assert.equal(
        await drawn('see https://b.example/c.'),
        `<p>see ${link('https://b.example/c', 'https://b.example/c')}.</p>`,
    );
    for (const address of [
        'javascript:alert(1)',
        'JaVaScRiPt:alert(1)',
        'data:text/html,x',
        'vbscript:x',
        'file:///etc/passwd',
        '//b.example',
        '/v1/models',
        'blob:x',
    ]) {
        assert.doesNotMatch(
            await drawn(`[a](${address}) <${address}> ![b](${address})`),
            /<a/,
            address,
        );
    }
});

const hostile = `# <img src=x onerror="window.hit=1">
<script>window.hit=2</script><svg onload="window.hit=3"><iframe src="https://evil.example/"></iframe>
[a](javascript:window.hit=4) [b](https://evil.example/" onmouseover="window.hit=5)
![c](https://evil.example/pixel.png)
<style>body{display:none}</style><form action="https://evil.example/"><button>Send</button></form>
\`\`\`"><img src=x onerror="window.hit=6">
</code></pre><script>window.hit=7</script>
\`\`\`
| <base href="https://evil.example/"> | b |
|---|---|
| <meta http-equiv="refresh" content="0;url=https://evil.example/"> | \u0000\u202e |
`;

test('a hostile answer is text', async () => {
    await page.waitForFunction(() => document.querySelector('#model').value === 'tiny');
    await answersAre(page, hostile.replace('\u0000', ''));
    await say(page, 'Hello');
    await answered(page);
    const shown = await page.innerText('.assistant .text');
    for (const part of [
        '<img src=x onerror="window.hit=1">',
        '<script>window.hit=2</script>',
        '<iframe',
        '</code></pre><script>window.hit=7</script>',
        '<base href',
        '<form action',
    ]) {
        assert.ok(shown.includes(part), part);
    }
    const found = await page.$$eval('.assistant *', (all) => ({
        tags: [...new Set(all.map((one) => one.localName))].sort(),
        handlers: all
            .flatMap((one) => [...one.attributes])
            .filter(({ name }) => /^on|^style$/.test(name)).length,
        links: all.filter((one) => one.localName === 'a').map((one) => one.protocol),
    }));
    assert.equal(found.handlers, 0);
    assert.ok(
        found.links.every((protocol) => protocol === 'https:'),
        String(found.links),
    );
    for (const tag of ['script', 'img', 'iframe', 'style', 'form', 'base', 'meta', 'svg']) {
        assert.ok(!found.tags.includes(tag), tag);
    }
    assert.equal(await page.evaluate(() => window.hit), undefined);
    assert.deepEqual(here.foreign, []);
    assert.deepEqual(here.complaints, []);
});

test('the policy keeps out even what a fault of ours would let in', async () => {
    const blocked = await page.evaluate(async () => {
        const found = [];
        addEventListener('securitypolicyviolation', (event) =>
            found.push(event.effectiveDirective),
        );
        const bad = document.createElement('div');
        bad.innerHTML =
            '<img src="https://evil.example/x.png" onerror="window.hit=8"><b style="color:red">x</b>';
        document.body.append(bad);
        const script = document.createElement('script');
        script.textContent = 'window.hit = 9';
        document.body.append(script);
        await fetch('https://evil.example/').catch(() => {});
        await new Promise((done) => setTimeout(done, 300));
        bad.remove();
        return [...new Set(found)].sort();
    });
    assert.deepEqual(blocked, [
        'connect-src',
        'img-src',
        'script-src-attr',
        'script-src-elem',
        'style-src-attr',
    ]);
    assert.equal(await page.evaluate(() => window.hit), undefined);
});

test('texts that are made to take long take no time', async () => {
    const many = 40_000;
    const texts = [
        '*a '.repeat(many),
        '[a]('.repeat(many),
        '`a``'.repeat(many),
        '>'.repeat(many),
        '- '.repeat(many),
        ' '.repeat(many) + '-x|\n',
        `| a |\n${' '.repeat(many)}-x|`,
        `# ${' #'.repeat(many)} x`,
        `\`\`\`${' '.repeat(many)}\``,
        '_'.repeat(many),
        '**a '.repeat(many),
        '~'.repeat(many) + 'x',
        `${'  '.repeat(500)}- a\n`.repeat(200),
        `[${'x'.repeat(many)}`,
        '![](http://x'.repeat(many),
        `| a |\n|${'-|'.repeat(many)}x`,
        `[a](${'x'.repeat(1900)} `.repeat(20),
        '\\'.repeat(many),
    ];
    for (const text of texts) {
        const took = await page.evaluate(async (markdown) => {
            const { draw } = await import('/page/markdown.js');
            const begun = performance.now();
            draw(document.createElement('div'), markdown);
            return performance.now() - begun;
        }, text);
        assert.ok(took < 5000, `${text.slice(0, 20)}... took ${took} ms`);
    }
});
