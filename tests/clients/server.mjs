// What each client's test needs: where the server is, its model, and a question with a tool.
// Run by tests/system/clients_test.py, which installs the packages of package.json beside these
// files. The model's weights are noise: its words mean nothing, so what must have a form is held
// to it by a tool that must be called or by a schema.
export const url = process.env.SHOAL_URL; // "http://127.0.0.1:8090"
export const model = process.env.SHOAL_MODEL;

export const question = [{ role: 'user', content: 'Is the lamp on?' }];

// Every text is bounded, so that an answer ends.
export const lamp = {
    name: 'set_lamp',
    description: 'Switch a lamp.',
    parameters: {
        type: 'object',
        properties: {
            room: { type: 'string', enum: ['hall', 'kitchen'] },
            level: { type: 'integer', minimum: 0, maximum: 9 },
        },
        required: ['room', 'level'],
        additionalProperties: false,
    },
};
export const clock = {
    name: 'read_clock',
    description: 'Tell the time.',
    parameters: { type: 'object', properties: {}, additionalProperties: false },
};

// Whether arguments are what the lamp takes.
export function fits(args) {
    return ['hall', 'kitchen'].includes(args.room) && Number.isInteger(args.level) &&
        args.level >= 0 && args.level <= 9 && Object.keys(args).length === 2;
}

export const tooLong = 'word '.repeat(9000);

export async function all(stream) {
    const items = [];
    for await (const item of stream) items.push(item);
    return items;
}
