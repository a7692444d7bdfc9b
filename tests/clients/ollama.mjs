// The package "ollama".
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ollama } from 'ollama';
import { all, clock, lamp, model, question, tooLong, url } from './server.mjs';

const client = new Ollama({ host: url });
const options = { temperature: 0, num_predict: 8 };
const tools = [{ type: 'function', function: lamp }, { type: 'function', function: clock }];
const schema = {
    type: 'object',
    properties: { room: { enum: ['hall', 'kitchen'] }, note: { type: 'string', maxLength: 6 } },
    required: ['room', 'note'],
};

function refusal(status, text) {
    return error => {
        assert.equal(error.name, 'ResponseError');
        assert.equal(error.status_code, status);
        assert.match(error.error, text);
        return true;
    };
}

function timed(answer) {
    for (const name of ['total_duration', 'load_duration', 'prompt_eval_count',
        'prompt_eval_duration', 'eval_count', 'eval_duration']) {
        assert.ok(Number.isInteger(answer[name]), name);
    }
    assert.ok(!Number.isNaN(Date.parse(answer.created_at)));
}

test('models are listed with what programs show of them', async () => {
    const { models } = await client.list();
    const one = models.find(m => m.name === `${model}:latest`);
    assert.equal(one.model, one.name);
    assert.ok(one.size > 0 && one.digest.length > 0);
    assert.equal(one.details.format, 'gguf');
    assert.equal(one.details.family, 'qwen2');
    assert.equal(one.details.quantization_level, 'F32');
    assert.ok(!Number.isNaN(Date.parse(one.modified_at)));
});

test('a model is shown, by either of its names', async () => {
    for (const name of [model, `${model}:latest`]) {
        const shown = await client.show({ model: name });
        assert.match(shown.template, /tool_call/);
        assert.ok(shown.capabilities.includes('completion'));
        assert.ok(shown.capabilities.includes('tools'));
        assert.ok(shown.capabilities.includes('thinking'));
        assert.ok(shown.model_info['qwen2.context_length'] > 0);
        assert.equal(shown.model_info['general.architecture'], 'qwen2');
    }
    await assert.rejects(client.show({ model: 'absent' }), refusal(404, /"absent" not found/));
});

test('what is in memory is told, and the version', async () => {
    await client.chat({ model, messages: question, options });
    const { models } = await client.ps();
    const one = models.find(m => m.name === `${model}:latest`);
    assert.ok(one.size > 0);
    assert.ok(Date.parse(one.expires_at) > Date.now());
    assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);
});

test('a chat, whole and streamed', async () => {
    const whole = await client.chat({ model, messages: question, options });
    assert.equal(whole.model, model);
    assert.equal(whole.message.role, 'assistant');
    assert.ok(whole.done);
    assert.ok(['stop', 'length'].includes(whole.done_reason));
    timed(whole);
    const parts = await all(
        await client.chat({ model, messages: question, options, stream: true }));
    assert.equal(parts.map(p => p.message.content).join(''), whole.message.content);
    assert.deepEqual(parts.map(p => p.done), parts.map((_, i) => i === parts.length - 1));
    timed(parts.at(-1));
});

test('a name with a tag is answered under that name', async () => {
    const answer = await client.chat({ model: `${model}:latest`, messages: question, options });
    assert.equal(answer.model, `${model}:latest`);
});

test('a format holds the answer to it, whole and streamed', async () => {
    const body = { model, messages: question, format: schema, options: { temperature: 0 } };
    const whole = JSON.parse((await client.chat(body)).message.content);
    assert.ok(['hall', 'kitchen'].includes(whole.room));
    assert.ok(whole.note.length <= 6);
    const parts = await all(await client.chat({ ...body, stream: true }));
    assert.deepEqual(JSON.parse(parts.map(p => p.message.content).join('')), whole);
    const { response } = await client.generate(
        { model, prompt: 'A lamp.', format: schema, options: { temperature: 0 } });
    assert.ok(['hall', 'kitchen'].includes(JSON.parse(response).room));
});

test('tools are offered, and a chat with a call and its result goes on', async () => {
    const offered = await client.chat({ model, messages: question, tools, options });
    const bare = await client.chat({ model, messages: question, options });
    assert.ok(offered.prompt_eval_count > bare.prompt_eval_count);
    const told = [...question,
        { role: 'assistant', content: '', tool_calls: [
            { function: { name: lamp.name, arguments: { room: 'hall', level: 3 } } }] },
        { role: 'tool', content: 'done', tool_name: lamp.name }];
    for (const stream of [false, true]) {
        const answer = await client.chat({ model, messages: told, tools, options, stream });
        const last = stream ? (await all(answer)).at(-1) : answer;
        assert.ok(last.prompt_eval_count > offered.prompt_eval_count);
    }
});

test('thoughts come apart from the answer, when they are wanted', async () => {
    const thinks = await client.chat({ model, messages: question, think: true, options });
    assert.ok(thinks.message.thinking.length > 0);
    const parts = await all(
        await client.chat({ model, messages: question, think: 'high', options, stream: true }));
    assert.equal(parts.map(p => p.message.thinking ?? '').join(''), thinks.message.thinking);
    const silent = await client.chat({ model, messages: question, think: false, options });
    assert.equal(silent.message.thinking, undefined);
});

test('scores of tokens', async () => {
    const answer = await client.chat(
        { model, messages: question, options, logprobs: true, top_logprobs: 2 });
    assert.equal(answer.logprobs.length > 0, true);
    assert.equal(typeof answer.logprobs[0].token, 'string');
    assert.ok(answer.logprobs[0].logprob <= 0);
    assert.equal(answer.logprobs[0].top_logprobs.length, 2);
});

test('a text is gone on with, raw and by the template', async () => {
    const whole = await client.generate({ model, prompt: 'One day', raw: true, options });
    assert.equal(typeof whole.response, 'string');
    timed(whole);
    const parts = await all(
        await client.generate({ model, prompt: 'One day', raw: true, options, stream: true }));
    assert.equal(parts.map(p => p.response).join(''), whole.response);
    const asked = await client.generate(
        { model, prompt: 'One day', system: 'Be brief.', options });
    assert.ok(asked.prompt_eval_count > whole.prompt_eval_count);
});

test('a model that does not fill in says so', async () => {
    assert.ok(!(await client.show({ model })).capabilities.includes('insert'));
    await assert.rejects(client.generate({ model, prompt: 'a', suffix: 'b', options }),
                         refusal(400, /suffix/));
});

test('vectors of one text and of several', async () => {
    const { embeddings, prompt_eval_count } = await client.embed({ model, input: ['a', 'b'] });
    assert.equal(embeddings.length, 2);
    assert.ok(Math.abs(Math.hypot(...embeddings[0]) - 1) < 1e-3);
    assert.ok(prompt_eval_count > 0);
    const one = await client.embed({ model, input: 'a', truncate: true, keep_alive: '5m' });
    assert.equal(one.embeddings.length, 1);
    const cut = await client.embed({ model, input: 'a', dimensions: 8 });
    assert.equal(cut.embeddings[0].length, 8);
    const { embedding } = await client.embeddings({ model, prompt: 'a' });
    assert.equal(embedding.length, one.embeddings[0].length);
});

test('a model that is here is pulled at once, another one is not', async () => {
    assert.deepEqual(await client.pull({ model }), { status: 'success' });
    const steps = await all(await client.pull({ model, stream: true }));
    assert.equal(steps.at(-1).status, 'success');
    await assert.rejects(client.pull({ model: 'absent' }), refusal(404, /not downloaded/));
    await assert.rejects(client.pull({ model: 'absent', stream: true }),
                         refusal(404, /not downloaded/));
});

test('models are not changed', async () => {
    const words = /models are not changed/;
    await assert.rejects(client.create({ model: 'new', from: model }), refusal(501, words));
    await assert.rejects(client.push({ model }), refusal(501, words));
    await assert.rejects(client.copy({ source: model, destination: 'new' }), refusal(501, words));
    await assert.rejects(client.delete({ model }), refusal(501, words));
});

test('how long a model stays is taken in every form', async () => {
    for (const keep_alive of [-1, 300, '5m', '-1m', '1h30m']) {
        const answer = await client.chat({ model, messages: question, options, keep_alive });
        assert.ok(answer.done);
    }
    const loaded = await client.generate({ model, keep_alive: '5m' });
    assert.equal(loaded.done_reason, 'load');
    const names = async () => (await client.ps()).models.map(({ name }) => name);
    assert.equal((await names()).length, 1);
    const gone = await client.generate({ model, keep_alive: 0 });
    assert.equal(gone.done_reason, 'unload');
    assert.deepEqual(await names(), []);
    await assert.rejects(client.generate({ model, keep_alive: 'soon' }), refusal(400, /keep_alive/));
});

test('every option that the client knows is taken', async () => {
    const answer = await client.chat({ model, messages: question, options: {
        numa: false, num_ctx: 2048, num_batch: 512, num_gpu: -1, main_gpu: 0, low_vram: false,
        f16_kv: true, logits_all: false, vocab_only: false, use_mmap: true, use_mlock: false,
        embedding_only: false, num_thread: 0, num_keep: 4, seed: 3, num_predict: 2, top_k: -1,
        top_p: 1, min_p: 0, tfs_z: 1, typical_p: 1, repeat_last_n: 64, temperature: 0.7,
        repeat_penalty: 1, presence_penalty: 0, frequency_penalty: 0, mirostat: 0,
        mirostat_tau: 5, mirostat_eta: 0.1, penalize_newline: true, stop: ['###'] } });
    assert.ok(answer.eval_count <= 2);
    await assert.rejects(
        client.chat({ model, messages: question, options: { vocab_only: true } }),
        refusal(400, /vocab_only/));
});

test('pictures are refused by name, and too much text with the numbers', async () => {
    const images = [new Uint8Array([1, 2, 3])];
    await assert.rejects(
        client.chat({ model, messages: [{ role: 'user', content: 'What?', images }] }),
        refusal(400, /images/));
    await assert.rejects(client.generate({ model, prompt: 'What?', images }),
                         refusal(400, /images/));
    await assert.rejects(
        client.chat({ model, messages: [{ role: 'user', content: tooLong }] }),
        refusal(400, /2048/));
});

test('what ends half-way is given up, and others are answered', async () => {
    const stream = await client.chat(
        { model, messages: question, stream: true, options: { ignore_eos: true } });
    let parts = 0;
    await assert.rejects(async () => {
        for await (const part of stream) {
            assert.equal(part.done, false);
            if (++parts === 3) client.abort();
        }
    }, { name: 'AbortError' });
    assert.ok(parts >= 3);
    assert.ok((await client.chat({ model, messages: question, options })).done);
});

test('what this server does not have is an error', async () => {
    await assert.rejects(
        client.systemone({ model, state: 'a', questions: { q: { type: 'noul', question: 'b' } } }),
        { name: 'ResponseError', status_code: 404 });
});
