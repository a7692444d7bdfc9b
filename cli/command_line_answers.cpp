// Commands that answer, and those that show how texts become tokens.
#include "cli/command_line.hpp"

namespace shoal::cli {

void add_model(CLI::App& app, std::string& model) {
    app.add_option("MODEL", model,
                   "Name or hash of a model (see `shoal models`), or a GGUF file on this device; "
                   "'' is the daemon's default")
        ->required();
}

namespace {

/// Options of everything that gives an answer.
void add_answer(CLI::App& app, AnswerOptions& o) {
    auto& s = o.sampling;
    app.add_option("-n,--max-tokens", o.max_tokens,
                   "Most tokens to generate; 0: until the model ends")
        ->capture_default_str();
    app.add_option("-t,--temperature", s.temperature, "0 always takes the likeliest token")
        ->capture_default_str();
    app.add_option("--top-k", s.top_k, "Choose among this many tokens; 0: all")
        ->capture_default_str();
    app.add_option("--top-p", s.top_p, "Choose among tokens of this total probability; 1: all")
        ->capture_default_str();
    app.add_option("--min-p", s.min_p,
                   "Leave out tokens less likely than this part of the likeliest; 0: none")
        ->capture_default_str();
    app.add_option("--repeat-penalty", s.repeat_penalty, "Above 1 discourages repetition")
        ->capture_default_str();
    app.add_option("--presence-penalty", s.presence_penalty,
                   "Taken once from the logit of every token seen")
        ->capture_default_str();
    app.add_option("--frequency-penalty", s.frequency_penalty,
                   "Taken from a token's logit for each time it was seen")
        ->capture_default_str();
    app.add_option("--penalty-last-n", s.penalty_last_n, "Tokens that the penalties look back on")
        ->capture_default_str();
    app.add_option("--seed", o.seed, "The same seed gives the same answer; default: a random one");
    app.add_option("--stop", o.stop, "End before this text; may be given several times")
        ->allow_extra_args(false);
    app.add_option("--priority", o.priority,
                   "-100 to 100: where requests wait, lower numbers go first")
        ->capture_default_str();
}

}  // namespace

void add_run(CLI::App& app, RunOptions& o, Action& action) {
    CLI::App* sub = command(app, "run", "Answer a prompt; the text streams to standard output",
                            "A chat model gets the prompt as a message, any other goes on from "
                            "it.\n"
                            "Without PROMPT, with - or in a pipe, the prompt is read from "
                            "standard input; one newline at its end is left out.\n"
                            "Example: shoal run llama \"Tell me a story\" -n 100 --seed 7");
    add_model(*sub, o.model);
    sub->add_option("PROMPT", o.prompt.argument, "The question, or the text to go on from");
    sub->add_option("-f,--file", o.prompt.file, "Read the prompt from this file");
    add_answer(*sub, o.answer);
    sub->add_flag("--ignore-eos", o.ignore_eos,
                  "Go on when the model wants to end (for measurements)");
    sub->add_flag("--raw", o.raw, "Go on from the text itself, also with a chat model");
    sub->add_option("--system", o.system, "Tell a chat model first what to be")->type_name("TEXT");
    sub->add_option("--schema", o.schema, "Answer with JSON that the JSON schema in FILE describes")
        ->type_name("FILE");
    sub->add_flag("--stats", o.stats, "Tell on standard error what the answer took, at length");
    sub->callback([&] { action = [&](const Common& common) { return run(common, o); }; });
}

void add_chat(CLI::App& app, ChatOptions& o, Action& action) {
    CLI::App* sub = command(app, "chat", "Talk with a chat model",
                            "At a terminal /help lists what can be typed beside messages. From a "
                            "pipe standard input is one message, which is answered.\n"
                            "Example: shoal chat qwen --system \"Answer briefly.\"");
    sub->add_option("MODEL", o.model,
                    "Name or hash of a model (see `shoal models`), or a GGUF file on this device; "
                    "without it the daemon's default");
    add_answer(*sub, o.answer);
    sub->add_option("--system", o.system, "Tell the model first what to be")->type_name("TEXT");
    sub->add_flag("--stats", o.stats, "Tell after each answer what it took");
    sub->callback([&] { action = [&](const Common& common) { return chat(common, o); }; });
}

void add_tokens(CLI::App& app, TokenizeOptions& t, DetokenizeOptions& d, Action& action) {
    CLI::App* to = command(app, "tokenize", "Show the tokens of a text",
                           "Example: shoal tokenize llama \"Hello there\"");
    add_model(*to, t.model);
    to->add_option("TEXT", t.text.argument, "The text; - or none: standard input");
    to->add_option("-f,--file", t.text.file, "Read the text from this file");
    to->add_flag("--no-special", t.no_special, "Add no token at the beginning or end");
    to->add_flag("--no-parse-special", t.no_parse_special,
                 "Take names of special tokens in the text as plain text");
    to->add_flag("--ids", t.ids_only, "Only the ids, on one line");
    to->callback([&] { action = [&](const Common& common) { return tokenize(common, t); }; });

    CLI::App* from = command(app, "detokenize", "Show the text of tokens",
                             "Example: shoal tokenize llama \"Hi\" --ids | shoal detokenize llama");
    add_model(*from, d.model);
    from->add_option("ID", d.ids, "Token ids; none: from standard input");
    from->callback([&] { action = [&](const Common& common) { return detokenize(common, d); }; });
}

}  // namespace shoal::cli
