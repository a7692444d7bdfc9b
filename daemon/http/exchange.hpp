// What a dialect makes of one HTTP request: requests to the service, and an answer of their events.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "daemon/http/api_error.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal {
struct DeviceFigures;
}

namespace shoal::http {

class KeptTexts;

/// What this device counts of itself, now. Thread-safe.
using Figures = std::function<DeviceFigures()>;

inline constexpr char kJsonType[] = "application/json";
inline constexpr char kEventStreamType[] = "text/event-stream";

/// A status, and the body with it.
struct Answer {
    unsigned status = 200;
    std::string body;
    unsigned retry_after = 0;  ///< seconds, a header; 0: none
    const char* content_type = kJsonType;
    bool page = false;  ///< for a browser to show: goes with a policy of what it may load
};

/// How the answers of one API say that something is wrong.
struct Dialect {
    /// The whole answer.
    Answer (*refusal)(const ApiError& error);
    /// The end of a stream that has begun.
    std::string (*broken_stream)(const ApiError& error);
};

/// Bytes to add to a stream (none for an answer that is not streamed), or why there is no answer.
using Written = std::variant<std::string, ApiError>;

/// One request of a client, understood. Reply owns it, carries its requests to the service, and
/// what it writes to the client.
class Exchange {
  public:
    virtual ~Exchange() = default;

    // What the request is. Constant, and asked by any thread.

    /// Requests to the service; 0: the answer is known.
    virtual std::size_t parts() const noexcept { return 1; }
    /// Asked for once for each part, in order.
    virtual mesh::messages::Request request(std::size_t part) const = 0;
    /// The content type of a stream, or null: the answer is sent when it is whole.
    virtual const char* stream_type() const noexcept { return nullptr; }
    /// Tokens are made for it, or it goes on for ever: it may take as long as it takes, and is for
    /// nobody once its client has left.
    virtual bool generates() const noexcept { return false; }
    /// Of a stream that goes on until its client leaves: its requests are sent anew this long after
    /// every part had its final event. 0: once is enough.
    virtual std::chrono::milliseconds repeats() const noexcept { return {}; }
    /// Texts are kept until the end, up to HttpOptions::max_answer_bytes.
    virtual bool keeps_texts() const noexcept { return stream_type() == nullptr; }

    // The answer. One thread at a time, in the order of events.

    /// An event of a part: anything but Progress, Failed and Done of a cancelled generation.
    virtual Written event(std::size_t part, const mesh::messages::Event& event) = 0;
    /// What a stream says meanwhile, if anything. Only some of these come here.
    virtual std::string progress(const mesh::messages::Progress&) { return {}; }
    /// Every part had its final event: the end of the stream in `body`, or the whole answer. Not of
    /// what repeats.
    virtual Answer end() = 0;
    /// There will be no other answer.
    virtual Answer refuse(const ApiError& error) { return dialect_.refusal(error); }
    virtual std::string break_off(const ApiError& error) { return dialect_.broken_stream(error); }

  protected:
    /// `dialect` is one of the constants of a dialect's header.
    explicit Exchange(const Dialect& dialect) noexcept : dialect_(dialect) {}
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    const Dialect& dialect() const noexcept { return dialect_; }

  private:
    const Dialect& dialect_;
};

/// An answer that needs nothing of the service.
class KnownAnswer : public Exchange {
  public:
    KnownAnswer(const Dialect& dialect, Answer answer)
        : Exchange(dialect), answer_(std::move(answer)) {}

    std::size_t parts() const noexcept override { return 0; }
    mesh::messages::Request request(std::size_t) const override { return {}; }
    Written event(std::size_t, const mesh::messages::Event&) override { return {}; }
    Answer end() override { return std::move(answer_); }

  private:
    Answer answer_;
};

/// What the service may not do, as far as its users are concerned.
ApiError unexpected_event();

/// The request to be answered. What it refers to is there only while it is understood.
struct Call {
    std::string_view body;  ///< empty of a GET
    std::string_view name;  ///< what the path names: "tiny" of "/v1/models/tiny"
    /// What answers leave for later requests; null: nothing is kept.
    std::shared_ptr<KeptTexts> kept = nullptr;
    std::string_view accept = {};  ///< the header; empty: whatever there is
    Figures figures = nullptr;     ///< null: it counts nothing
};

/// A field that cannot be honoured is an error that names it, never ignored. The requests of an
/// exchange have passed validate() for the HTTP door.
using Understood = std::variant<std::unique_ptr<Exchange>, ApiError>;
using Understand = Understood (*)(const Call& call);

}  // namespace shoal::http
