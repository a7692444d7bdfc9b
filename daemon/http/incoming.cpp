#include "daemon/http/incoming.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace shoal::http {
namespace {

using Found = std::optional<Rejection>;

/// A content type without its parameters.
std::string_view bare(std::string_view type) noexcept {
    type = type.substr(0, type.find(';'));
    while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
    return type;
}

/// What programs send with JSON when nobody told them to: curl the first, fetch() the second.
bool is_thoughtless(std::string_view type) noexcept {
    return type.empty() || equal_caseless(type, "application/x-www-form-urlencoded") ||
           equal_caseless(type, "text/plain");
}

/// Two readings of where a request ends would let one hide in another.
Found check_framing(const Headers& h) {
    const char* problem = nullptr;
    if (h.hosts > 1) problem = "the request has several Host headers";
    if (h.content_lengths > 1 || h.transfer_encodings > 1 ||
        (h.content_length && h.transfer_encoding)) {
        problem = "the request says in several ways how long its body is";
    }
    if (h.transfer_encoding && !equal_caseless(*h.transfer_encoding, "chunked")) {
        problem = "Transfer-Encoding may only be chunked";
    }
    if (problem == nullptr) return {};
    return Rejection{{400, "bad_framing", problem, {}}, {}, true};
}

Found check_length(const Headers& h, std::size_t limit) {
    if (!h.content_length) return {};
    const std::string_view text = *h.content_length;
    std::uint64_t length = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    // libmicrohttpd has refused what is no number; one beyond 64 bits is too long as well.
    if (error == std::errc{} && end == text.data() + text.size() && length <= limit) return {};
    return Rejection{{413,
                      "body_too_large",
                      fmt::format("the body has {} bytes; at most {} are allowed", text, limit),
                      {}},
                     {},
                     true};
}

Found check_body(const Headers& h, bool any_type) {
    if (!h.content_length && !h.transfer_encoding) {
        return Rejection{
            {411, "length_required", "send a JSON body and its Content-Length", {}}, {}, false};
    }
    if (h.content_encoding && !equal_caseless(*h.content_encoding, "identity")) {
        return Rejection{
            {415, "unsupported_encoding", "send the body without Content-Encoding", {}}, {}, false};
    }
    const std::string_view type = bare(h.content_type.value_or(""));
    // A page of another origin can send such a type unasked, but not without its Origin.
    if (!equal_caseless(type, "application/json") && !(any_type && is_thoughtless(type))) {
        return Rejection{{415,
                          "unsupported_media_type",
                          "send the body as JSON with the header Content-Type: application/json",
                          {}},
                         {},
                         false};
    }
    return {};
}

Found reject(std::optional<ApiError> error) {
    if (!error) return {};
    return Rejection{*std::move(error), {}, false};
}

}  // namespace

void Headers::add(std::string_view name, std::string_view value) {
    const auto is = [&](std::string_view wanted) { return equal_caseless(name, wanted); };
    if (is("host")) ++hosts, host = value;
    if (is("origin")) origin = value;
    if (is("authorization")) authorization = value;
    if (is("x-api-key")) api_key = value;
    if (is("content-type")) content_type = value;
    if (is("content-length")) ++content_lengths, content_length = value;
    if (is("content-encoding")) content_encoding = value;
    if (is("transfer-encoding")) ++transfer_encodings, transfer_encoding = value;
    if (is("expect")) expect = value;
    if (is("access-control-request-method")) request_method = value;
    if (is("accept")) accept = value;
}

Incoming judge(const Guard& guard, const HttpOptions& options, std::string_view method,
               std::string_view path, const Headers& headers, std::string_view local) {
    Incoming in;
    in.accept = headers.accept.value_or("");
    if (headers.origin && guard.lists_origin(*headers.origin)) in.origin = *headers.origin;
    in.preflight = !in.origin.empty() && method == "OPTIONS" && headers.request_method;
    auto routed = route(in.preflight ? *headers.request_method : method, path);
    auto* refusal = std::get_if<Refusal>(&routed);
    if (auto* found = std::get_if<Route>(&routed)) {
        in.endpoint = found->endpoint;
        in.name = std::move(found->name);
    }
    in.dialect = refusal != nullptr ? refusal->dialect : in.endpoint->dialect;

    Found& found = in.rejection;
    found = check_framing(headers);
    if (!found) found = reject(guard.check_host(headers.host, local));
    if (!found) found = reject(guard.check_origin(headers.origin, headers.host.value_or("")));
    // Whether the cluster is well may be asked without a key, by a monitor for example. A browser
    // asks first without one.
    const bool open = in.preflight || (in.endpoint != nullptr && in.endpoint->open);
    if (!found && !open) found = reject(guard.check_key(headers.authorization, headers.api_key));
    if (!found && refusal != nullptr) {
        found = Rejection{std::move(refusal->error), std::move(refusal->allow), false};
    }
    Found length = check_length(headers, options.max_body_bytes);
    if (!found && length) found = length;
    if (in.takes_body()) found = check_body(headers, in.endpoint->any_type);
    // Otherwise the body is read and thrown away, so that a client that only sends does not miss
    // the answer and the connection can be kept.
    in.reject_now = found && (found->close || length || headers.expect);
    return in;
}

}  // namespace shoal::http
