// The package "@anthropic-ai/sdk".
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';
import { all, clock, fits, lamp, model, question, tooLong, url } from './server.mjs';

const client = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 });
const greedy = { model, temperature: 0 };
const tools = [lamp, clock].map(({ name, description, parameters }) => (
    { name, description, input_schema: parameters }));

// Tokens of a prompt, those that need not be computed again among them.
const prompt = usage => usage.input_tokens + usage.cache_read_input_tokens;

test('a message has text, a reason to stop and counts', async () => {
    const message = await client.messages.create(
        { ...greedy, messages: question, max_tokens: 6 });
    assert.equal(message.type, 'message');
    assert.equal(message.role, 'assistant');
    assert.equal(message.model, model);
    assert.match(message.id, /^msg_/);
    assert.equal(message.content[0].type, 'text');
    assert.ok(['end_turn', 'max_tokens'].includes(message.stop_reason));
    assert.equal(message.stop_sequence, null);
    assert.ok(message.usage.input_tokens > 0);
    assert.ok(message.usage.output_tokens > 0 && message.usage.output_tokens <= 6);
});

test('a stream is put together to the same message', async () => {
    const body = { ...greedy, messages: question, max_tokens: 8 };
    const whole = await client.messages.create(body);
    const stream = client.messages.stream(body);
    let text = '';
    stream.on('text', delta => { text += delta; });
    const final = await stream.finalMessage();
    assert.deepEqual(final.content, whole.content);
    assert.equal(text, whole.content[0].text);
    assert.equal(final.stop_reason, whole.stop_reason);
    assert.deepEqual(final.usage, whole.usage);
    assert.equal(await stream.finalText(), text);
});

test('the events of a stream come in their order', async () => {
    const events = await all(await client.messages.create(
        { ...greedy, messages: question, max_tokens: 4, stream: true }));
    assert.equal(events[0].type, 'message_start');
    assert.deepEqual(events[0].message.content, []);
    assert.equal(events[1].type, 'content_block_start');
    assert.deepEqual(events.slice(-3).map(e => e.type),
                     ['content_block_stop', 'message_delta', 'message_stop']);
    assert.ok(events.slice(2, -3).every(e => e.delta.type === 'text_delta'));
});

test('any tool, one by name, and a turn with its result', async () => {
    const body = { ...greedy, messages: question, tools, max_tokens: 200 };
    const any = await client.messages.create(
        { ...body, tool_choice: { type: 'any', disable_parallel_tool_use: true } });
    assert.equal(any.stop_reason, 'tool_use');
    assert.ok(any.content.some(b => b.type === 'tool_use'));

    const named = await client.messages.create({
        ...body, tool_choice: { type: 'tool', name: lamp.name, disable_parallel_tool_use: true } });
    const use = named.content.find(b => b.type === 'tool_use');
    assert.equal(use.name, lamp.name);
    assert.ok(use.id.length > 0);
    assert.ok(fits(use.input), JSON.stringify(use.input));

    const next = await client.messages.create({ ...body, max_tokens: 6, messages: [
        ...question, { role: 'assistant', content: named.content },
        { role: 'user', content: [
            { type: 'tool_result', tool_use_id: use.id,
              content: [{ type: 'text', text: 'ok' }] }] },
    ] });
    assert.ok(prompt(next.usage) > prompt(named.usage));
});

test('a call that is streamed has the input that its parts make', async () => {
    const stream = client.messages.stream({
        ...greedy, messages: question, tools, max_tokens: 200,
        tool_choice: { type: 'tool', name: lamp.name, disable_parallel_tool_use: true } });
    let json = '';
    stream.on('inputJson', delta => { json += delta; });
    const final = await stream.finalMessage();
    const use = final.content.find(b => b.type === 'tool_use');
    assert.equal(final.stop_reason, 'tool_use');
    assert.deepEqual(JSON.parse(json), use.input);
    assert.ok(fits(use.input));
});

test('a system prompt, as a text and as blocks, is counted', async () => {
    const count = async system =>
        (await client.messages.countTokens({ model, messages: question, system })).input_tokens;
    const bare = (await client.messages.countTokens({ model, messages: question })).input_tokens;
    const text = await count('Be brief.');
    assert.ok(text > bare);
    assert.equal(await count([{ type: 'text', text: 'Be brief.',
                                cache_control: { type: 'ephemeral' } }]), text);
    const message = await client.messages.create(
        { ...greedy, messages: question, system: 'Be brief.', max_tokens: 1 });
    assert.equal(prompt(message.usage), text);
    const offered = await client.messages.countTokens({ model, messages: question, tools });
    assert.ok(offered.input_tokens > bare);
});

test('a text that stops an answer is named', async () => {
    const whole = await client.messages.create(
        { ...greedy, messages: question, max_tokens: 12 });
    const stop = whole.content[0].text.slice(2, 4);
    const cut = await client.messages.create(
        { ...greedy, messages: question, max_tokens: 12, stop_sequences: [stop] });
    assert.equal(cut.stop_reason, 'stop_sequence');
    assert.equal(cut.stop_sequence, stop);
});

test('thinking is a block of its own, and comes back in the next turn', async () => {
    const body = { model, temperature: 1, seed: 3, max_tokens: 8, messages: question };
    const thinking = { type: 'enabled', budget_tokens: 1024 };
    const message = await client.messages.create({ ...body, thinking });
    assert.equal(message.content[0].type, 'thinking');
    assert.ok(message.content[0].thinking.length > 0);
    assert.equal(typeof message.content[0].signature, 'string');
    const streamed = await client.messages.stream({ ...body, thinking }).finalMessage();
    assert.deepEqual(streamed.content, message.content);
    await client.messages.create({ ...body, messages: [
        ...question, { role: 'assistant', content: message.content },
        { role: 'user', content: 'And now?' }] });
});

test('an answer is held to a schema made by zod, and parsed', async () => {
    const Lamp = z.object({ room: z.enum(['hall', 'kitchen']), on: z.boolean() });
    const message = await client.messages.parse({
        ...greedy, messages: question, max_tokens: 100,
        output_config: { format: zodOutputFormat(Lamp) },
    });
    assert.deepEqual(Lamp.parse(message.parsed_output), message.parsed_output);
});

test('models are listed', async () => {
    assert.ok((await all(client.models.list())).some(m => m.id === model));
    assert.equal((await client.models.retrieve(model)).id, model);
});

test('errors are of the classes and types that programs look for', async () => {
    const body = { model, messages: question, max_tokens: 4 };
    await assert.rejects(client.messages.create({ ...body, model: 'absent' }), error => {
        assert.ok(error instanceof Anthropic.NotFoundError);
        assert.equal(error.error.type, 'error');
        assert.equal(error.error.error.type, 'not_found_error');
        assert.match(error.message, /absent/);
        return true;
    });
    const long = [{ role: 'user', content: tooLong }];
    for (const stream of [false, true]) {
        await assert.rejects(client.messages.create({ ...body, messages: long, stream }), error => {
            assert.ok(error instanceof Anthropic.BadRequestError);
            assert.equal(error.error.error.type, 'invalid_request_error');
            assert.match(error.message, /prompt is too long/);
            return true;
        });
    }
    const source = { type: 'base64', media_type: 'image/png', data: '' };
    await assert.rejects(
        client.messages.create(
            { ...body, messages: [{ role: 'user', content: [{ type: 'image', source }] }] }),
        Anthropic.BadRequestError);
    await assert.rejects(
        client.messages.create({ ...body, tools: [{ type: 'web_search_20250305',
                                                    name: 'web_search' }] }),
        Anthropic.BadRequestError);
});

test('a stream that is given up ends, and others are answered', async () => {
    const stream = client.messages.stream({ ...greedy, messages: question, max_tokens: 1500 });
    stream.on('text', () => stream.abort());
    await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
    assert.ok(await client.messages.create({ ...greedy, messages: question, max_tokens: 1 }));
});
