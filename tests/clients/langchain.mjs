// The package "@langchain/openai", with both of OpenAI's APIs for chats.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { z } from 'zod';
import { all, lamp, model, tooLong, url } from './server.mjs';

const shared = { model, apiKey: 'none', maxRetries: 0, temperature: 0,
                 configuration: { baseURL: `${url}/v1` } };
const messages = [new SystemMessage('Be brief.'), new HumanMessage('Is the lamp on?')];
const Lamp = z.object({ room: z.enum(['hall', 'kitchen']), level: z.number().int().min(0).max(9) });
const setLamp = tool(() => 'done', { ...lamp, schema: Lamp });

test('a text model invokes, batches and streams', async () => {
    const llm = new OpenAI({ ...shared, maxTokens: 6 });
    const text = await llm.invoke('One day');
    assert.ok(text.length > 0);
    assert.deepEqual(await llm.batch(['One day', 'One day']), [text, text]);
    assert.equal((await all(await llm.stream('One day'))).join(''), text);
    const { generations, llmOutput } = await llm.generate(['One day', 'A lamp']);
    assert.equal(generations[0][0].text, text);
    assert.ok(['stop', 'length'].includes(generations[1][0].generationInfo.finishReason));
    assert.ok(llmOutput.tokenUsage.totalTokens > 0);
});

for (const useResponsesApi of [false, true]) {
    const api = useResponsesApi ? 'responses' : 'chats';
    const chat = fields => new ChatOpenAI(
        { ...shared, useResponsesApi, maxTokens: 200, ...fields });
    const short = chat({ maxTokens: 8 });

    test(`${api}: a chat model invokes`, async () => {
        const answer = await short.invoke(messages);
        assert.equal(typeof answer.text, 'string');
        const { input_tokens, output_tokens, total_tokens } = answer.usage_metadata;
        assert.ok(output_tokens > 0 && output_tokens <= 8);
        assert.equal(total_tokens, input_tokens + output_tokens);
        assert.equal(answer.response_metadata.model_name, model);
    });

    test(`${api}: a stream has the same text, and usage`, async () => {
        const chunks = await all(await short.stream(messages));
        const whole = chunks.reduce((a, b) => a.concat(b));
        assert.equal(whole.text, (await short.invoke(messages)).text);
        assert.ok(whole.usage_metadata.output_tokens > 0);
    });

    test(`${api}: a tool is called, and its result goes on with the chat`, async () => {
        const bound = chat().bindTools([setLamp],
                                       { tool_choice: lamp.name, parallel_tool_calls: false });
        const answer = await bound.invoke(messages);
        assert.equal(answer.tool_calls.length, 1);
        const [call] = answer.tool_calls;
        assert.equal(call.name, lamp.name);
        Lamp.parse(call.args);
        const result = await setLamp.invoke(call);
        assert.ok(result instanceof ToolMessage);
        const next = await short.bindTools([setLamp]).invoke([...messages, answer, result]);
        assert.ok(next.usage_metadata.input_tokens > answer.usage_metadata.input_tokens);
        const streamed = (await all(await bound.stream(messages))).reduce((a, b) => a.concat(b));
        assert.deepEqual(streamed.tool_calls[0].args, call.args);
    });

    for (const method of ['jsonSchema', 'functionCalling']) {
        test(`${api}: structured output by ${method}`, async () => {
            const structured = chat().withStructuredOutput(Lamp, { method, name: 'lamp' });
            Lamp.parse(await structured.invoke(messages));
        });
    }
}

test('embeddings of texts and of a question', async () => {
    const embeddings = new OpenAIEmbeddings(shared);
    const vectors = await embeddings.embedDocuments(['a lamp', 'a clock']);
    assert.equal(vectors.length, 2);
    assert.deepEqual(await embeddings.embedQuery('a lamp'), vectors[0]);
    assert.ok(Math.abs(Math.hypot(...vectors[0]) - 1) < 1e-3);
});

test('a text that is too long is an error of the name that programs look for', async () => {
    const chat = new ChatOpenAI({ ...shared, maxTokens: 4 });
    await assert.rejects(chat.invoke(tooLong), error => {
        assert.equal(error.name, 'ContextOverflowError');
        assert.equal(error.cause.code, 'context_length_exceeded');
        return true;
    });
    await assert.rejects(new ChatOpenAI({ ...shared, model: 'absent' }).invoke('Hello'),
                         { status: 404 });
});
