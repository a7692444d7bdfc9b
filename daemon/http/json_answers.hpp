// The service's events as the API's answers: JSON texts and server-sent events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/http/api_error.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::http {

/// What all parts of one completion have in common.
struct CompletionHead {
    std::string id;            ///< "cmpl-" and random digits
    std::int64_t created = 0;  ///< seconds since 1970
    std::string model;         ///< as asked for, until the first token brings the model's name
    bool include_usage = false;
};

struct Choice {
    std::string text;
    mesh::messages::StopReason reason = mesh::messages::StopReason::end;
};

/// One whole completion; `total` has the tokens and times of all choices.
std::string completion_json(const CompletionHead& head, const std::vector<Choice>& choices,
                            const mesh::messages::Done& total);

/// Server-sent events, each with the empty line that ends it. `index` is the choice's.
std::string sse_text(const CompletionHead& head, std::size_t index, const std::string& text);
/// The end of a choice.
std::string sse_end(const CompletionHead& head, std::size_t index,
                    const mesh::messages::Done& done);
/// The end of all: the usage if asked for, and [DONE].
std::string sse_last(const CompletionHead& head, const mesh::messages::Done& total);
/// An error after the head of the answer has been sent, and [DONE].
std::string sse_error(const ApiError& error);
/// A comment, which clients skip: it tells people what goes on and keeps the connection busy.
std::string sse_progress(const mesh::messages::Progress& progress);

std::string tokens_json(const mesh::messages::TokenizeReply& reply);
std::string text_json(const mesh::messages::DetokenizeReply& reply);
std::string models_json(const mesh::messages::ModelsReply& reply);
/// The one model of this name or hash, or nothing.
std::optional<std::string> model_json(const mesh::messages::ModelsReply& reply,
                                      const std::string& name);
std::string cluster_json(const mesh::messages::StatusReply& reply);
/// {"status": "ok"}, or {"status": "unavailable", "reason"} without a root; with what is wrong.
std::string health_json(const mesh::messages::StatusReply& reply);
/// The same when the daemon does not say.
std::string unhealthy_json(const std::string& reason);

}  // namespace shoal::http
