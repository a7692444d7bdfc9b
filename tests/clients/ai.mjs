// The packages "ai", "@ai-sdk/openai" and "@ai-sdk/openai-compatible".
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embed, embedMany, generateObject, generateText, stepCountIs, streamObject,
         streamText, tool } from 'ai';
import { z } from 'zod';
import { all, lamp, model, tooLong, url } from './server.mjs';

const baseURL = `${url}/v1`;
const openai = createOpenAI({ baseURL, apiKey: 'none' });
const compatible = createOpenAICompatible({ name: 'shoal', baseURL, apiKey: 'none',
                                            includeUsage: true, supportsStructuredOutputs: true });
const Lamp = z.object({ room: z.enum(['hall', 'kitchen']), level: z.number().int().min(0).max(9) });
const shared = { maxRetries: 0, temperature: 0 };
const brief = { ...shared, system: 'Be brief.', prompt: 'Is the lamp on?', maxOutputTokens: 8 };

const chats = {
    'openai, chats': openai.chat(model),
    'openai, responses': openai.responses(model),
    compatible: compatible.chatModel(model),
};
for (const [name, chat] of Object.entries(chats)) {
    test(`${name}: a text, whole and streamed, with usage`, async () => {
        const whole = await generateText({ ...brief, model: chat });
        assert.equal(typeof whole.text, 'string');
        assert.ok(['stop', 'length'].includes(whole.finishReason), whole.finishReason);
        assert.ok(whole.usage.outputTokens > 0 && whole.usage.outputTokens <= 8);
        assert.equal(whole.usage.totalTokens, whole.usage.inputTokens + whole.usage.outputTokens);
        assert.equal(whole.response.modelId, model);
        const stream = streamText({ ...brief, model: chat });
        assert.equal((await all(stream.textStream)).join(''), whole.text);
        assert.equal(await stream.finishReason, whole.finishReason);
        assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
    });

    test(`${name}: a tool is called and run, and its result goes on with the chat`, async () => {
        const calls = [];
        const tools = { [lamp.name]: tool({
            description: lamp.description, inputSchema: Lamp,
            execute: input => { calls.push(input); return 'done'; } }) };
        const body = {
            ...brief, model: chat, tools, maxOutputTokens: 100, stopWhen: stepCountIs(2),
            prepareStep: ({ stepNumber }) => (
                { toolChoice: stepNumber === 0 ? { type: 'tool', toolName: lamp.name } : 'auto' }),
        };
        const { steps } = await generateText(body);
        assert.equal(steps[0].finishReason, 'tool-calls');
        assert.ok(calls.length >= 1);
        for (const input of calls) Lamp.parse(input);
        assert.equal(steps.length, 2);
        assert.ok(steps[1].usage.inputTokens > steps[0].usage.inputTokens);
        const streamed = streamText(body);
        await streamed.consumeStream();
        assert.equal((await streamed.steps)[0].toolCalls[0].toolName, lamp.name);
        Lamp.parse((await streamed.steps)[0].toolCalls[0].input);
    });

    test(`${name}: a chat goes on from what was said`, async () => {
        const first = await generateText({ ...brief, model: chat });
        const { prompt, ...rest } = brief;
        const messages = [{ role: 'user', content: prompt }, ...first.response.messages,
            { role: 'user', content: 'And now?' }];
        const second = await generateText({ ...rest, messages, model: chat });
        assert.ok(second.usage.inputTokens > first.usage.inputTokens);
    });

    test(`${name}: an object of a schema, whole and streamed`, async () => {
        const body = { ...brief, model: chat, schema: Lamp, maxOutputTokens: 100 };
        const { object } = await generateObject(body);
        Lamp.parse(object);
        const stream = streamObject(body);
        await all(stream.partialObjectStream);
        assert.deepEqual(await stream.object, object);
    });

    test(`${name}: errors are told`, async () => {
        await assert.rejects(generateText({ ...brief, model: chat, prompt: tooLong }), error => {
            assert.ok(APICallError.isInstance(error));
            assert.equal(error.statusCode, 400);
            assert.match(error.message, /2048/);
            assert.equal(error.isRetryable, false);
            return true;
        });
    });
}

test('thinking is read beside the answer', async () => {
    const { reasoningText } = await generateText({
        ...brief, model: compatible.chatModel(model),
        providerOptions: { shoal: { reasoningEffort: 'high' } } });
    assert.ok(reasoningText.length > 0);
});

test('completion models', async () => {
    for (const text of [openai.completion(model), compatible.completionModel(model)]) {
        const body = { ...shared, model: text, prompt: 'One day', maxOutputTokens: 6 };
        const whole = await generateText(body);
        assert.ok(whole.text.length > 0);
        assert.ok(whole.usage.outputTokens > 0);
        const stream = streamText(body);
        assert.equal((await all(stream.textStream)).join(''), whole.text);
    }
});

test('embeddings of one and of many', async () => {
    for (const embedding of [openai.embedding(model), compatible.embeddingModel(model)]) {
        const one = await embed({ model: embedding, value: 'a lamp', maxRetries: 0 });
        assert.ok(Math.abs(Math.hypot(...one.embedding) - 1) < 1e-3);
        assert.ok(one.usage.tokens > 0);
        const many = await embedMany(
            { model: embedding, values: ['a lamp', 'a clock'], maxRetries: 0 });
        assert.deepEqual(many.embeddings[0], one.embedding);
    }
});

test('a stream that is given up ends, and others are answered', async () => {
    const controller = new AbortController();
    const chat = openai.chat(model);
    const stream = streamText({ ...brief, model: chat, maxOutputTokens: 1500,
                                abortSignal: controller.signal });
    const types = [];
    for await (const part of stream.fullStream) {
        types.push(part.type);
        if (part.type === 'text-delta') controller.abort();
    }
    assert.equal(types.at(-1), 'abort');
    assert.ok((await generateText({ ...brief, model: chat, maxOutputTokens: 1 })).usage);
});
