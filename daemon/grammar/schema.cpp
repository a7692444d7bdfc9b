#include "daemon/grammar/schema.hpp"

#include <nlohmann/json.hpp>

#include "daemon/grammar/refusal.hpp"
#include "daemon/grammar/schema_reader.hpp"

namespace shoal::grammar {

RuleId read_schema(std::string_view text, RuleSet& rules) {
    const Json document = parse_schema_text(text);
    return SchemaReader(document, rules).read();
}

}  // namespace shoal::grammar
