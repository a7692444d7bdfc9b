// An exchange without a connection: a test plays the service, and sees what would be sent.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/http/exchange.hpp"
#include "daemon/http/kept_texts.hpp"

namespace shoal::http::test {

class ExchangeDriver {
  public:
    /// Requires: the body is understood.
    ExchangeDriver(Understand understand, const std::string& body,
                   std::shared_ptr<KeptTexts> kept = nullptr) {
        Understood understood = understand({body, {}, std::move(kept)});
        if (auto* error = std::get_if<ApiError>(&understood)) FAIL(error->message);
        exchange_ = std::get<0>(std::move(understood));
    }

    template <typename R = mesh::messages::Generate>
    R request(std::size_t part = 0) const {
        return std::get<R>(exchange_->request(part));
    }
    Exchange& exchange() noexcept { return *exchange_; }

    /// Adds what the event makes the exchange write.
    void emit(const mesh::messages::Event& event, std::size_t part = 0) {
        Written written = exchange_->event(part, event);
        if (auto* error = std::get_if<ApiError>(&written)) FAIL(error->message);
        sent_ += std::get<std::string>(written);
    }
    /// The body of a whole answer.
    nlohmann::json end() {
        CHECK(sent_.empty());
        const Answer answer = exchange_->end();
        CHECK(answer.status == 200);
        return nlohmann::json::parse(answer.body);
    }
    /// The data of all events of a stream, which ends here; "[DONE]" as a string.
    std::vector<nlohmann::json> end_stream() {
        sent_ += exchange_->end().body;
        return take_events();
    }
    /// The data of the events so far.
    std::vector<nlohmann::json> take_events() {
        std::vector<nlohmann::json> out;
        std::size_t at = 0;
        while ((at = sent_.find("data: ", at)) != std::string::npos) {
            const std::size_t end = sent_.find("\n\n", at);
            const std::string data = sent_.substr(at + 6, end - at - 6);
            out.push_back(data == "[DONE]" ? nlohmann::json(data) : nlohmann::json::parse(data));
            at = end;
        }
        sent_.clear();
        return out;
    }

  private:
    std::unique_ptr<Exchange> exchange_;
    std::string sent_;
};

/// Of a body that is not understood.
inline ApiError refusal_of(Understand understand, const std::string& body,
                           std::shared_ptr<KeptTexts> kept = nullptr) {
    Understood understood = understand({body, {}, std::move(kept)});
    REQUIRE(std::holds_alternative<ApiError>(understood));
    return std::get<ApiError>(understood);
}

inline mesh::messages::Token token_of(std::string text, std::string reasoning = {}) {
    mesh::messages::Token token;
    token.text = std::move(text);
    token.reasoning = std::move(reasoning);
    token.model = std::string("tiny-q4");
    return token;
}

inline mesh::messages::Done done_of(
    mesh::messages::StopReason reason = mesh::messages::StopReason::end) {
    mesh::messages::Done done;
    done.reason = reason;
    done.prompt_tokens = 3;
    done.cached_tokens = 1;
    done.generated_tokens = 2;
    done.reasoning_tokens = 1;
    done.model = std::string("tiny-q4");
    return done;
}

}  // namespace shoal::http::test
