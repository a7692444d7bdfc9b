// The output of a response: items that grow, and the events by which a stream tells of it.
#pragma once

#include <memory>
#include <string>

#include "daemon/http/json_input.hpp"
#include "mesh/messages/requests.hpp"

namespace shoal::http::openai {

/// One thread at a time. Every call returns what to add to a stream: server-sent events.
class ResponseOutput {
  public:
    /// `summary`: reasoning is told as its summary.
    explicit ResponseOutput(bool summary);
    ~ResponseOutput();
    ResponseOutput(const ResponseOutput&) = delete;
    ResponseOutput& operator=(const ResponseOutput&) = delete;

    /// An event that has the response itself: "response.created" and the like.
    std::string tell(const std::string& type, const Json& response);
    std::string add_reasoning(const std::string& text);
    /// `logprobs` is an array.
    std::string add_text(const std::string& text, const Json& logprobs);
    std::string add_call(const mesh::messages::ToolCall& call);
    /// Ends the item that is open; `status` is "completed" or "incomplete".
    std::string close(const char* status);

    /// All items that are closed, as an array.
    const Json& items() const noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace shoal::http::openai
