#include "daemon/http/page/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/http/accept.hpp"
#include "daemon/http/dialects/ollama/ollama.hpp"
#include "daemon/http/dialects/openai/openai.hpp"
#include "daemon/http/page/files.hpp"

namespace shoal::http::page {
namespace {

constexpr std::string_view kStart = "index.html";

struct Type {
    std::string_view ending;
    const char* name;
};
constexpr Type kTypes[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
};

const char* type_of(std::string_view name) {
    const auto type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&](const Type& t) { return name.ends_with(t.ending); });
    return type == std::end(kTypes) ? "application/octet-stream" : type->name;
}

Understood answer(std::string_view name) {
    const auto found = std::find_if(kFiles.begin(), kFiles.end(),
                                    [&](const File& file) { return file.name == name; });
    if (found == kFiles.end()) {
        ApiError error;
        error.status = 404;
        error.code = "not_found";
        error.message = fmt::format("the page has no file \"{}\"; GET / is the page",
                                    name.substr(0, kQuotedBytes));
        return error;
    }
    Answer answer;
    answer.body = found->text;
    answer.content_type = type_of(name);
    answer.page = true;
    return std::make_unique<KnownAnswer>(openai::kDialect, std::move(answer));
}

}  // namespace

Understood start(const Call& call) {
    return names_type(call.accept, "text/html") ? answer(kStart) : ollama::running(call);
}

Understood file(const Call& call) {
    return answer(call.name);
}

}  // namespace shoal::http::page
