// The service's events as the API's answers: JSON texts and server-sent events.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/http/api_error.hpp"
#include "mesh/wire/requests.hpp"

namespace shoal::http {

/// What all parts of one completion have in common.
struct CompletionHead {
    std::string id;            ///< "cmpl-" and random digits
    std::int64_t created = 0;  ///< seconds since 1970
    std::string model;         ///< as asked for; the last part has the name that Done gives
    bool include_usage = false;
};

/// One whole completion.
std::string completion_json(const CompletionHead& head, const std::string& text,
                            const mesh::wire::Done& done);

/// Server-sent events, each with the empty line that ends it.
std::string sse_text(const CompletionHead& head, const std::string& text);
/// The reason for the end, the usage if asked for, and [DONE].
std::string sse_done(const CompletionHead& head, const mesh::wire::Done& done);
/// An error after the head of the answer has been sent, and [DONE].
std::string sse_error(const ApiError& error);
/// A comment, which clients skip: it tells people what goes on and keeps the connection busy.
std::string sse_progress(const mesh::wire::Progress& progress);

std::string tokens_json(const mesh::wire::TokenizeReply& reply);
std::string text_json(const mesh::wire::DetokenizeReply& reply);
std::string models_json(const mesh::wire::ModelsReply& reply);
std::string cluster_json(const mesh::wire::StatusReply& reply);
/// {"status": "ok"} when `reason` is empty, else {"status": "unavailable", "reason"}.
std::string health_json(const std::string& reason);

}  // namespace shoal::http
