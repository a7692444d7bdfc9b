// A saved conversation: whatever the file holds, it is read as one that reads the same when it is
// written again, or refused with an Error. The same bytes as an answer are wrapped for a terminal.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "cli/conversation.hpp"
#include "cli/exit_codes.hpp"
#include "cli/terminal.hpp"
#include "cli/word_wrap.hpp"

using namespace shoal::cli;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    WordWrap wrap(20);
    (void)wrap.add(harmless(text));
    try {
        const Conversation conversation = Conversation::from_json(text);
        (void)conversation.request(true);
        const Conversation again = Conversation::from_json(conversation.to_json("m"));
        if (again.messages() != conversation.messages()) std::abort();
    } catch (const Error&) {
    }
    return 0;
}
