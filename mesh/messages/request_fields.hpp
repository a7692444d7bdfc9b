// The fields of every request and event: key on the wire, name in errors, member, limits.
// One list serves the encoder and the decoder, so the two cannot disagree. A key is never used
// again for something else; REQUESTS.md has the rules for adding one. Private to requests.cpp.
#pragma once

#include "mesh/messages/device_profile_fields.hpp"
#include "mesh/messages/plan_report_fields.hpp"
#include "mesh/messages/record.hpp"
#include "mesh/messages/requests.hpp"
#include "mesh/messages/warning_fields.hpp"

namespace shoal::mesh::messages {

template <>
struct EnumRange<ErrorCode> {
    static constexpr ErrorCode first = ErrorCode::bad_request, last = ErrorCode::context_length;
};
template <>
struct EnumRange<StopReason> {
    static constexpr StopReason first = StopReason::end, last = StopReason::cancelled;
};
template <>
struct EnumRange<Constraint::Kind> {
    static constexpr Constraint::Kind first = Constraint::Kind::none,
                                      last = Constraint::Kind::json_schema;
};
template <>
struct EnumRange<Task> {
    static constexpr Task first = Task::answer, last = Task::embed;
};
template <>
struct EnumRange<ProfileOrigin> {
    static constexpr ProfileOrigin first = ProfileOrigin::guessed, last = ProfileOrigin::given;
};

// F is called as f(key, name, member) or, for what can be long, f(key, name, member, limit) or
// f(key, name, member, limit, limit of one element).

template <typename F, Of<Sampling> S>
void fields(F&& f, S& s) {
    f(0, "temperature", s.temperature);
    f(1, "top_k", s.top_k);
    f(2, "top_p", s.top_p);
    f(3, "min_p", s.min_p);
    f(4, "repeat_penalty", s.repeat_penalty);
    f(5, "presence_penalty", s.presence_penalty);
    f(6, "frequency_penalty", s.frequency_penalty);
    f(7, "penalty_last_n", s.penalty_last_n);
    f(8, "seed", s.seed);
    f(9, "logit_bias", s.logit_bias, kMaxLogitBias);
}

template <typename F, Of<Constraint> S>
void fields(F&& f, S& s) {
    f(0, "kind", s.kind);
    f(1, "text", s.text, kMaxGrammarBytes);
}

template <typename F, Of<Generate> S>
void fields(F&& f, S& s) {
    f(0, "model", s.model, kMaxModelBytes);
    f(1, "prompt", s.prompt, kMaxPromptBytes);
    f(2, "prompt_ids", s.prompt_ids, kMaxPromptTokens);
    f(3, "max_tokens", s.max_tokens);
    f(4, "sampling", s.sampling);
    f(5, "stop", s.stop, kMaxStopStrings, kMaxStopBytes);
    f(6, "ignore_eos", s.ignore_eos);
    f(7, "resume_ids", s.resume_ids, kMaxPromptTokens);
    f(8, "chat", s.chat, kMaxChatBytes);
    f(9, "suffix", s.suffix, kMaxPromptBytes);
    f(10, "constraint", s.constraint);
    f(11, "task", s.task);
    f(12, "logprobs", s.logprobs);
    f(13, "prompt_logprobs", s.prompt_logprobs);
    f(64, "client", s.client);
    f(65, "priority", s.priority);
    f(70, "keep_alive", s.keep_alive);
    f(71, "cache_prompt", s.cache_prompt);
}

template <typename F, Of<TokenizeRequest> S>
void fields(F&& f, S& s) {
    f(0, "model", s.model, kMaxModelBytes);
    f(1, "text", s.text, kMaxPromptBytes);
    f(2, "add_special", s.add_special);
    f(3, "parse_special", s.parse_special);
    f(4, "chat", s.chat, kMaxChatBytes);
}

template <typename F, Of<DescribeRequest> S>
void fields(F&& f, S& s) {
    f(0, "model", s.model, kMaxModelBytes);
}

template <typename F, Of<DetokenizeRequest> S>
void fields(F&& f, S& s) {
    f(0, "model", s.model, kMaxModelBytes);
    f(1, "ids", s.ids, kMaxPromptTokens);
}

template <typename F, Of<StatusRequest> S>
void fields(F&&, S&) {}

template <typename F, Of<ModelsRequest> S>
void fields(F&&, S&) {}

template <typename F, Of<LoadRequest> S>
void fields(F&& f, S& s) {
    f(0, "model", s.model, kMaxModelBytes);
    f(70, "keep_alive", s.keep_alive);
}

template <typename F, Of<UnloadRequest> S>
void fields(F&& f, S& s) {
    f(0, "model", s.model, kMaxModelBytes);
}

template <typename F, Of<CancelRequest> S>
void fields(F&& f, S& s) {
    f(0, "request", s.request);
}

template <typename F, Of<BenchRequest> S>
void fields(F&& f, S& s) {
    f(0, "show", s.show);
}

template <typename F, Of<PlanRequest> S>
void fields(F&& f, S& s) {
    f(0, "model", s.model, kMaxModelBytes);
    f(1, "devices", s.devices);
}

template <typename F, Of<InviteRequest> S>
void fields(F&&, S&) {}

template <typename F, Of<JoinRequest> S>
void fields(F&& f, S& s) {
    f(0, "invitation", s.invitation, kMaxInvitationBytes);
}

template <typename F, Of<LeaveRequest> S>
void fields(F&&, S&) {}

template <typename F, Of<DevicesRequest> S>
void fields(F&&, S&) {}

template <typename F, Of<RenameRequest> S>
void fields(F&& f, S& s) {
    f(0, "device", s.device, kMaxDeviceNameBytes);
    f(1, "name", s.name, kMaxDeviceNameBytes);
}

template <typename F, Of<ForgetRequest> S>
void fields(F&& f, S& s) {
    f(0, "device", s.device, kMaxDeviceNameBytes);
}

template <typename F, Of<InviteReply> S>
void fields(F&& f, S& s) {
    f(0, "invitation", s.invitation, kMaxInvitationBytes);
    f(1, "seconds", s.seconds);
    f(2, "cluster", s.cluster, kMaxRequestBytes);
    f(3, "addresses", s.addresses, kMaxListedDevices, kMaxDeviceNameBytes);
}

template <typename F, Of<ClusterReply> S>
void fields(F&& f, S& s) {
    f(0, "cluster", s.cluster, kMaxRequestBytes);
    f(1, "devices", s.devices, kMaxListedDevices, kMaxRequestBytes);
    f(2, "warning", s.warning, kMaxRequestBytes);
}

template <typename F, Of<KnownDevice> S>
void fields(F&& f, S& s) {
    f(0, "id", s.id, kMaxRequestBytes);
    f(1, "name", s.name, kMaxRequestBytes);
    f(2, "address", s.address, kMaxRequestBytes);
    f(3, "version", s.version, kMaxRequestBytes);
    f(4, "since", s.since);
    f(5, "seen", s.seen);
    f(6, "self", s.self);
    f(7, "online", s.online);
}

template <typename F, Of<DevicesReply> S>
void fields(F&& f, S& s) {
    f(0, "cluster", s.cluster, kMaxRequestBytes);
    f(1, "devices", s.devices, kMaxListedDevices);
}

template <typename F, Of<Progress> S>
void fields(F&& f, S& s) {
    f(0, "what", s.what, kMaxRequestBytes);
    f(1, "done", s.done);
    f(2, "total", s.total);
}

template <typename F, Of<TokenScore> S>
void fields(F&& f, S& s) {
    f(0, "id", s.id);
    f(1, "logprob", s.logprob);
    f(2, "text", s.text, kMaxRequestBytes);
}

template <typename F, Of<ToolCall> S>
void fields(F&& f, S& s) {
    f(0, "id", s.id, kMaxRequestBytes);
    f(1, "name", s.name, kMaxRequestBytes);
    f(2, "arguments", s.arguments, kMaxRequestBytes);
}

template <typename F, Of<Token> S>
void fields(F&& f, S& s) {
    f(0, "index", s.index);
    f(1, "id", s.id);
    f(2, "text", s.text, kMaxRequestBytes);
    f(3, "reasoning", s.reasoning, kMaxRequestBytes);
    f(4, "calls", s.calls, kMaxToolCalls);
    f(5, "scores", s.scores, kMaxLogprobs);
    f(64, "model", s.model, kMaxRequestBytes);
}

template <typename F, Of<PromptTokens::Entry> S>
void fields(F&& f, S& s) {
    f(0, "id", s.id);
    f(1, "text", s.text, kMaxRequestBytes);
    f(2, "scores", s.scores, kMaxLogprobs);
}

template <typename F, Of<PromptTokens> S>
void fields(F&& f, S& s) {
    f(0, "first", s.first);
    f(1, "tokens", s.tokens, kMaxPromptTokens);
}

template <typename F, Of<Done> S>
void fields(F&& f, S& s) {
    f(0, "reason", s.reason);
    f(1, "text", s.text, kMaxRequestBytes);
    f(2, "prompt_tokens", s.prompt_tokens);
    f(3, "generated_tokens", s.generated_tokens);
    f(4, "model", s.model, kMaxRequestBytes);
    f(5, "load_seconds", s.load_seconds);
    f(6, "queue_seconds", s.queue_seconds);
    f(7, "prefill_seconds", s.prefill_seconds);
    f(8, "decode_seconds", s.decode_seconds);
    f(9, "devices", s.devices);
    f(10, "reasoning", s.reasoning, kMaxRequestBytes);
    f(11, "calls", s.calls, kMaxToolCalls);
    f(12, "reasoning_tokens", s.reasoning_tokens);
    f(13, "stopped_by", s.stopped_by, kMaxRequestBytes);
    f(14, "embedding", s.embedding, kMaxEmbeddingWidth);
    f(64, "cached_tokens", s.cached_tokens);
}

template <typename F, Of<Failed> S>
void fields(F&& f, S& s) {
    f(0, "code", s.code);
    f(1, "message", s.message, kMaxRequestBytes);
    f(64, "retry_seconds", s.retry_seconds);
}

template <typename F, Of<TokenizeReply> S>
void fields(F&& f, S& s) {
    f(0, "ids", s.ids, kMaxPromptTokens);
    f(1, "pieces", s.pieces, kMaxPromptTokens, kMaxRequestBytes);
    f(2, "text", s.text, kMaxRequestBytes);
}

template <typename F, Of<DetokenizeReply> S>
void fields(F&& f, S& s) {
    f(0, "text", s.text, kMaxRequestBytes);
}

template <typename F, Of<ModelInfo> S>
void fields(F&& f, S& s) {
    f(0, "name", s.name, kMaxRequestBytes);
    f(1, "hash", s.hash, kMaxRequestBytes);
    f(2, "architecture", s.architecture, kMaxRequestBytes);
    f(3, "quantisation", s.quantisation, kMaxRequestBytes);
    f(4, "file_bytes", s.file_bytes);
    f(5, "parameters", s.parameters);
    f(6, "context", s.context);
    f(7, "loaded", s.loaded);
    f(8, "devices", s.devices, kMaxListedDevices, kMaxRequestBytes);
    f(64, "problem", s.problem, kMaxRequestBytes);
    f(65, "path", s.path, kMaxRequestBytes);
    f(66, "at_work", s.at_work);
}

template <typename F, Of<Metadata> S>
void fields(F&& f, S& s) {
    f(0, "key", s.key, kMaxRequestBytes);
    f(1, "value", s.value, kMaxRequestBytes);
}

template <typename F, Of<DescribeReply> S>
void fields(F&& f, S& s) {
    f(0, "info", s.info);
    f(1, "chat_template", s.chat_template, kMaxRequestBytes);
    f(2, "bos", s.bos, kMaxRequestBytes);
    f(3, "eos", s.eos, kMaxRequestBytes);
    f(4, "thinks", s.thinks);
    f(5, "calls_tools", s.calls_tools);
    f(6, "fills_in", s.fills_in);
    f(7, "layers", s.layers);
    f(8, "width", s.width);
    f(9, "heads", s.heads);
    f(10, "kv_heads", s.kv_heads);
    f(11, "ffn", s.ffn);
    f(12, "vocabulary", s.vocabulary);
    f(13, "metadata", s.metadata, kMaxListedMetadata);
}

template <typename F, Of<ModelsReply> S>
void fields(F&& f, S& s) {
    f(0, "models", s.models, kMaxListedModels);
    f(64, "reading_models", s.reading_models);
    f(65, "store", s.store, kMaxRequestBytes);
}

template <typename F, Of<Range> S>
void fields(F&& f, S& s) {
    f(0, "begin", s.begin);
    f(1, "end", s.end);
}

template <typename F, Of<LinkInfo> S>
void fields(F&& f, S& s) {
    f(0, "transport", s.transport, kMaxRequestBytes);
    f(1, "cipher", s.cipher, kMaxRequestBytes);
    f(2, "sent_bytes", s.sent_bytes);
    f(3, "received_bytes", s.received_bytes);
    f(4, "resent", s.resent);
    f(5, "asked", s.asked);
    f(6, "collectives", s.collectives);
    f(7, "wait_p50_us", s.wait_p50_us);
    f(8, "wait_p99_us", s.wait_p99_us);
}

template <typename F, Of<DeviceInfo> S>
void fields(F&& f, S& s) {
    f(0, "id", s.id, kMaxRequestBytes);
    f(1, "name", s.name, kMaxRequestBytes);
    f(2, "address", s.address, kMaxRequestBytes);
    f(3, "cpu", s.cpu, kMaxRequestBytes);
    f(4, "self", s.self);
    f(5, "root", s.root);
    f(6, "alive", s.alive);
    f(7, "rank", s.rank);
    f(8, "q_heads", s.slice.q_heads);
    f(9, "kv_heads", s.slice.kv_heads);
    f(10, "ffn_columns", s.slice.ffn);
    f(11, "vocab_rows", s.slice.vocab);
    f(12, "memory_total", s.memory_total);
    f(13, "memory_available", s.memory_available);
    f(14, "weight_bytes", s.weight_bytes);
    f(15, "planned_weight_bytes", s.planned_weight_bytes);
    f(16, "kv_bytes", s.kv_bytes);
    f(17, "round_trip_ms", s.round_trip_ms);
    f(18, "threads", s.threads);
    f(19, "state", s.state, kMaxRequestBytes);
    f(20, "link", s.link);
}

template <typename F, Of<MeasuredLink> S>
void fields(F&& f, S& s) {
    f(0, "first", s.first, kMaxRequestBytes);
    f(1, "second", s.second, kMaxRequestBytes);
    f(2, "exchange_seconds", s.exchange_seconds);
    f(3, "there_bytes_per_second", s.there_bytes_per_second);
    f(4, "back_bytes_per_second", s.back_bytes_per_second);
    f(5, "date", s.date, kMaxRequestBytes);
    f(6, "first_address", s.first_address, kMaxRequestBytes);
    f(7, "second_address", s.second_address, kMaxRequestBytes);
    f(8, "transport", s.transport, kMaxRequestBytes);
    f(9, "cipher", s.cipher, kMaxRequestBytes);
}

template <typename F, Of<LoadedModel> S>
void fields(F&& f, S& s) {
    f(0, "name", s.name, kMaxRequestBytes);
    f(1, "hash", s.hash, kMaxRequestBytes);
    f(2, "weight_bytes", s.weight_bytes);
    f(3, "kv_bytes", s.kv_bytes);
    f(4, "context", s.context);
    f(5, "at_work", s.at_work);
    f(6, "pinned", s.pinned);
    f(7, "unloads_after", s.unloads_after);
}

template <typename F, Of<StatusReply> S>
void fields(F&& f, S& s) {
    f(0, "version", s.version, kMaxRequestBytes);
    f(1, "cluster", s.cluster, kMaxRequestBytes);
    f(2, "self", s.self, kMaxRequestBytes);
    f(3, "root", s.root, kMaxRequestBytes);
    f(4, "term", s.term);
    f(5, "plan", s.plan);
    f(6, "model", s.model, kMaxRequestBytes);
    f(7, "model_hash", s.model_hash, kMaxRequestBytes);
    f(8, "collectives", s.collectives, kMaxRequestBytes);
    f(9, "kv_type", s.kv_type, kMaxRequestBytes);
    f(10, "context", s.context);
    f(11, "devices", s.devices, kMaxListedDevices);
    f(12, "running", s.running);
    f(13, "queued", s.queued);
    f(14, "generated_tokens", s.generated_tokens);
    f(15, "tokens_per_second", s.tokens_per_second);
    f(16, "prefill_tokens_per_second", s.prefill_tokens_per_second);
    f(64, "reading_models", s.reading_models);
    f(65, "warnings", s.warnings, kMaxListedWarnings);
    f(66, "links", s.links, kMaxListedLinks);
    f(67, "parallel", s.parallel);
    f(68, "preemptions", s.preemptions);
    f(69, "prompt_tokens", s.prompt_tokens);
    f(70, "cached_tokens", s.cached_tokens);
    f(71, "cache_use", s.cache_use);
    f(80, "loaded", s.loaded, kMaxListedModels);
}

template <typename F, Of<BenchReply> S>
void fields(F&& f, S& s) {
    f(0, "profile", s.profile);
    f(1, "origin", s.origin);
    f(2, "date", s.date, kMaxRequestBytes);
    f(3, "cpu", s.cpu, kMaxRequestBytes);
    f(4, "isa", s.isa, kMaxRequestBytes);
    f(5, "version", s.version, kMaxRequestBytes);
    f(6, "threads", s.threads);
    f(7, "cpus", s.cpus, kMaxListedCpus);
    f(8, "memory_total", s.memory_total);
    f(9, "not_stored", s.not_stored, kMaxRequestBytes);
}

}  // namespace shoal::mesh::messages
