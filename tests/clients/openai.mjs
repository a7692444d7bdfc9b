// The package "openai".
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { all, clock, fits, lamp, model, question, tooLong, url } from './server.mjs';

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
const greedy = { model, temperature: 0 };
const tools = [{ type: 'function', function: lamp }, { type: 'function', function: clock }];
const Lamp = z.object({ room: z.enum(['hall', 'kitchen']), note: z.string().max(6) });

test('a chat answers with text, a reason to stop and counts that add up', async () => {
    const answer = await client.chat.completions.create(
        { ...greedy, messages: question, max_completion_tokens: 6 });
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.model, model);
    assert.match(answer.id, /^chatcmpl-/);
    const [choice] = answer.choices;
    assert.equal(choice.message.role, 'assistant');
    assert.equal(typeof choice.message.content, 'string');
    assert.ok(['stop', 'length'].includes(choice.finish_reason));
    const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
    assert.ok(prompt_tokens > 0 && completion_tokens > 0 && completion_tokens <= 6);
    assert.equal(total_tokens, prompt_tokens + completion_tokens);
});

test('several choices differ by their seeds and carry their indices', async () => {
    const answer = await client.chat.completions.create(
        { model, messages: question, n: 2, seed: 5, temperature: 1, max_tokens: 8 });
    assert.deepEqual(answer.choices.map(c => c.index), [0, 1]);
    assert.notEqual(answer.choices[0].message.content, answer.choices[1].message.content);
});

test('a stream says what the whole answer says, and its usage', async () => {
    const body = { ...greedy, messages: question, max_tokens: 8 };
    const whole = await client.chat.completions.create(body);
    const chunks = await all(await client.chat.completions.create(
        { ...body, stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks[0].object, 'chat.completion.chunk');
    assert.equal(chunks[0].choices[0].delta.role, 'assistant');
    const text = chunks.map(c => c.choices[0]?.delta.content ?? '').join('');
    assert.equal(text, whole.choices[0].message.content);
    const reasons = chunks.map(c => c.choices[0]?.finish_reason).filter(Boolean);
    assert.deepEqual(reasons, [whole.choices[0].finish_reason]);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
    assert.equal(new Set(chunks.map(c => c.id)).size, 1);
});

test('the stream helper puts the message together', async () => {
    const stream = client.chat.completions.stream({ ...greedy, messages: question, max_tokens: 8 });
    const deltas = [];
    stream.on('content', delta => deltas.push(delta));
    const final = await stream.finalChatCompletion();
    assert.equal(deltas.join(''), final.choices[0].message.content);
});

test('scores of tokens are read as such', async () => {
    const answer = await client.chat.completions.create(
        { ...greedy, messages: question, max_tokens: 3, logprobs: true, top_logprobs: 2 });
    for (const token of answer.choices[0].logprobs.content) {
        assert.equal(typeof token.token, 'string');
        assert.ok(token.logprob <= 0);
        assert.equal(token.top_logprobs.length, 2);
        assert.ok(Array.isArray(token.bytes));
    }
});

test('a tool that must be called is called, and its result goes on with the chat', async () => {
    const first = await client.chat.completions.create(
        { ...greedy, messages: question, tools, tool_choice: 'required',
          parallel_tool_calls: false, max_tokens: 200 });
    const [choice] = first.choices;
    assert.equal(choice.finish_reason, 'tool_calls');
    assert.equal(choice.message.tool_calls.length, 1);
    const [call] = choice.message.tool_calls;
    assert.equal(call.type, 'function');
    assert.ok(call.id.length > 0);
    assert.ok([lamp.name, clock.name].includes(call.function.name));
    JSON.parse(call.function.arguments);

    const second = await client.chat.completions.create({
        ...greedy, tools, max_tokens: 6,
        messages: [...question, choice.message,
            { role: 'tool', tool_call_id: call.id, content: '{"done":true}' }],
    });
    assert.ok(second.usage.prompt_tokens > first.usage.prompt_tokens);
    assert.equal(second.choices[0].message.role, 'assistant');
});

test('the tool that is named is called with arguments that fit', async () => {
    const answer = await client.chat.completions.create({
        ...greedy, messages: question, tools, max_tokens: 200, parallel_tool_calls: false,
        tool_choice: { type: 'function', function: { name: lamp.name } },
    });
    const [call] = answer.choices[0].message.tool_calls;
    assert.equal(call.function.name, lamp.name);
    assert.ok(fits(JSON.parse(call.function.arguments)), call.function.arguments);
});

test('calls that are streamed are put together by their indices', async () => {
    const stream = client.chat.completions.stream({
        ...greedy, messages: question, tools, max_tokens: 200, parallel_tool_calls: false,
        tool_choice: { type: 'function', function: { name: lamp.name } },
    });
    const chunks = [];
    stream.on('chunk', chunk => chunks.push(chunk));
    const final = await stream.finalChatCompletion();
    const [call] = final.choices[0].message.tool_calls;
    assert.equal(final.choices[0].finish_reason, 'tool_calls');
    assert.equal(call.function.name, lamp.name);
    assert.ok(fits(JSON.parse(call.function.arguments)));
    const deltas = chunks.flatMap(c => c.choices[0]?.delta.tool_calls ?? []);
    assert.ok(deltas.every(d => d.index === 0));
    assert.equal(deltas[0].id, call.id);
    assert.equal(deltas[0].type, 'function');
});

test('runTools calls the function and sends its result', async () => {
    let seen;
    const runner = client.chat.completions.runTools({
        ...greedy, messages: question, max_tokens: 200, parallel_tool_calls: false,
        tool_choice: { type: 'function', function: { name: lamp.name } },
        tools: [{ type: 'function', function: {
            ...lamp, parse: JSON.parse, function: args => { seen = args; return 'done'; } } }],
    }, { maxChatCompletions: 2 });
    await runner.done();
    assert.ok(fits(seen));
    // A tool that is named is the end of it; the client's runner stops there.
    assert.equal(runner.messages.at(-1).role, 'tool');
});

test('an answer is held to a schema made by zod, and parsed', async () => {
    const answer = await client.chat.completions.parse({
        ...greedy, messages: question, max_tokens: 100,
        response_format: zodResponseFormat(Lamp, 'lamp'),
    });
    const { parsed } = answer.choices[0].message;
    assert.deepEqual(Lamp.parse(parsed), parsed);
    assert.equal(answer.choices[0].finish_reason, 'stop');
});

test('an answer of a schema is no thought, however much was wanted', async () => {
    const answer = await client.chat.completions.parse({
        ...greedy, messages: question, max_tokens: 100, reasoning_effort: 'high',
        response_format: zodResponseFormat(Lamp, 'lamp'),
    });
    Lamp.parse(answer.choices[0].message.parsed);
    assert.equal(answer.usage.completion_tokens_details.reasoning_tokens, 0);
});

test('json_object gives an object', async () => {
    const answer = await client.chat.completions.create({
        ...greedy, messages: question, max_tokens: 100,
        response_format: { type: 'json_object', schema: z.toJSONSchema(Lamp) },
    });
    Lamp.parse(JSON.parse(answer.choices[0].message.content));
});

test('thinking is told beside the answer', async () => {
    const answer = await client.chat.completions.create(
        { ...greedy, messages: question, max_tokens: 6, reasoning_effort: 'high' });
    const { message } = answer.choices[0];
    assert.ok(message.reasoning_content.length > 0);
    assert.equal(answer.usage.completion_tokens_details.reasoning_tokens, 6);
});

test('a response has output_text and is gone on from by its id', async () => {
    const first = await client.responses.create(
        { ...greedy, instructions: 'Be brief.', input: 'Is the lamp on?', max_output_tokens: 6 });
    assert.equal(first.object, 'response');
    assert.ok(['completed', 'incomplete'].includes(first.status));
    assert.equal(typeof first.output_text, 'string');
    assert.equal(first.output.find(i => i.type === 'message').content[0].type, 'output_text');
    assert.equal(first.usage.total_tokens, first.usage.input_tokens + first.usage.output_tokens);

    const second = await client.responses.create({
        ...greedy, input: 'And now?', previous_response_id: first.id, max_output_tokens: 6 });
    assert.equal(second.previous_response_id, first.id);
    assert.ok(second.usage.input_tokens > first.usage.input_tokens);

    assert.deepEqual((await client.responses.retrieve(first.id)).output, first.output);
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
});

test('a response is streamed as events of which the last has all', async () => {
    const stream = client.responses.stream({ ...greedy, input: 'Hello', max_output_tokens: 8 });
    let text = '';
    stream.on('response.output_text.delta', event => { text += event.delta; });
    const types = new Set();
    stream.on('event', event => types.add(event.type));
    const final = await stream.finalResponse();
    assert.ok(text.length > 0);
    assert.equal(final.output_text, text);
    for (const type of ['response.created', 'response.in_progress', 'response.output_item.added',
        'response.content_part.added', 'response.output_text.done', 'response.content_part.done',
        'response.output_item.done']) {
        assert.ok(types.has(type), type);
    }
});

test('responses call tools, whole and streamed, and take their results', async () => {
    const body = {
        ...greedy, input: question, max_output_tokens: 200, parallel_tool_calls: false,
        tools: [{ type: 'function', strict: true, ...lamp }],
        tool_choice: { type: 'function', name: lamp.name },
    };
    const first = await client.responses.create(body);
    const call = first.output.find(i => i.type === 'function_call');
    assert.equal(call.name, lamp.name);
    assert.ok(fits(JSON.parse(call.arguments)));

    const events = await all(await client.responses.create({ ...body, stream: true }));
    const done = events.find(e => e.type === 'response.function_call_arguments.done');
    const deltas = events.filter(e => e.type === 'response.function_call_arguments.delta');
    assert.equal(deltas.map(e => e.delta).join(''), done.arguments);
    assert.ok(fits(JSON.parse(done.arguments)));
    assert.deepEqual(events.map(e => e.sequence_number), events.map((_, i) => i));

    const second = await client.responses.create({
        ...greedy, previous_response_id: first.id, tools: body.tools, max_output_tokens: 6,
        input: [{ type: 'function_call_output', call_id: call.call_id, output: 'done' }],
    });
    assert.ok(second.usage.input_tokens > first.usage.input_tokens);
});

test('a response is held to a schema made by zod, and parsed', async () => {
    const response = await client.responses.parse({
        ...greedy, input: 'Describe the lamp.', max_output_tokens: 100,
        text: { format: zodTextFormat(Lamp, 'lamp') },
    });
    assert.deepEqual(Lamp.parse(response.output_parsed), response.output_parsed);
});

test('embeddings come as numbers, from base64 as well', async () => {
    const input = ['a lamp', 'a clock'];
    const decoded = await client.embeddings.create({ model, input }); // base64 inside
    const plain = await client.embeddings.create({ model, input, encoding_format: 'float' });
    assert.equal(decoded.data.length, 2);
    assert.deepEqual(decoded.data.map(d => d.index), [0, 1]);
    for (const [i, { embedding }] of plain.data.entries()) {
        const length = Math.hypot(...embedding);
        assert.ok(Math.abs(length - 1) < 1e-3, `length ${length}`);
        assert.equal(decoded.data[i].embedding.length, embedding.length);
        for (const [k, x] of embedding.entries()) {
            assert.ok(Math.abs(decoded.data[i].embedding[k] - x) < 1e-5);
        }
    }
    assert.ok(plain.usage.prompt_tokens > 0);
});

test('models are listed, and one of them is retrieved', async () => {
    const ids = (await all(client.models.list())).map(m => m.id);
    assert.ok(ids.includes(model));
    const one = await client.models.retrieve(model);
    assert.equal(one.id, model);
    assert.equal(one.object, 'model');
    await assert.rejects(client.models.retrieve('no/such'), OpenAI.NotFoundError);
});

test('completions: several prompts, several texts, scores', async () => {
    const answer = await client.completions.create(
        { model, prompt: ['One', 'Two'], n: 2, max_tokens: 3, logprobs: 2, seed: 1 });
    assert.equal(answer.object, 'text_completion');
    assert.deepEqual(answer.choices.map(c => c.index), [0, 1, 2, 3]);
    for (const { text, logprobs } of answer.choices) {
        assert.equal(typeof text, 'string');
        assert.equal(logprobs.tokens.length, logprobs.token_logprobs.length);
        assert.ok(Object.keys(logprobs.top_logprobs[0]).length >= 2);
    }
    const chunks = await all(await client.completions.create(
        { ...greedy, prompt: 'One', max_tokens: 4, stream: true }));
    const whole = await client.completions.create({ ...greedy, prompt: 'One', max_tokens: 4 });
    assert.equal(chunks.map(c => c.choices[0].text).join(''), whole.choices[0].text);
});

test('errors are of the classes and codes that programs look for', async () => {
    await assert.rejects(
        client.chat.completions.create({ model: 'absent', messages: question }), error => {
            assert.ok(error instanceof OpenAI.NotFoundError);
            assert.equal(error.param, 'model');
            assert.equal(error.code, 'model_not_found');
            assert.match(error.message, /absent/);
            return true;
        });
    for (const stream of [false, true]) {
        await assert.rejects(
            client.chat.completions.create(
                { model, stream, messages: [{ role: 'user', content: tooLong }] }), error => {
                assert.ok(error instanceof OpenAI.BadRequestError);
                assert.equal(error.code, 'context_length_exceeded');
                assert.equal(error.param, 'messages');
                return true;
            });
    }
    await assert.rejects(
        client.chat.completions.create({ model, messages: question, temperature: -1 }), error => {
            assert.equal(error.status, 400);
            assert.equal(error.param, 'temperature');
            assert.equal(error.type, 'invalid_request_error');
            return true;
        });
    await assert.rejects(client.responses.create({ model, input: tooLong }), error => {
        assert.equal(error.code, 'context_length_exceeded');
        return true;
    });
});

test('a stream that is given up ends, and others are answered', async () => {
    const stream = await client.chat.completions.create(
        { ...greedy, messages: question, stream: true, ignore_eos: true });
    let chunks = 0;
    for await (const chunk of stream) {
        assert.equal(chunk.model, model);
        if (++chunks === 3) stream.controller.abort();
    }
    assert.ok(chunks >= 3);
    const next = await client.chat.completions.create(
        { ...greedy, messages: question, max_tokens: 1 });
    assert.equal(next.usage.completion_tokens, 1);
});
