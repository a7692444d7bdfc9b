#include "daemon/jinja/globals.hpp"

#include "daemon/jinja/date.hpp"
#include "daemon/jinja/error.hpp"
#include "daemon/jinja/limits.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/print.hpp"

namespace shoal::jinja {
namespace {

/// dict() and namespace(): of another one, of pairs, of names with values.
Ref<DictCell> filled_dict(Run& run, const Arguments& arguments) {
    const Ref<DictCell> out = run.dict();
    if (arguments.positional.size() > 1) fail("dict() and namespace() take one argument at most");
    if (!arguments.positional.empty()) merge_into(run, *out, arguments.positional.front());
    for (const auto& [name, value] : arguments.named) out->set(run.string(name), value);
    return out;
}

Value make_dict(Run& run, const Value&, const Arguments& arguments) {
    return Value(filled_dict(run, arguments));
}

Value make_namespace(Run& run, const Value&, const Arguments& arguments) {
    return Value(filled_dict(run, arguments), Value::Kind::name_space);
}

Value raise_exception(Run& run, const Value&, const Arguments& arguments) {
    ArgumentReader reader("raise_exception", arguments);
    const Value message = reader.need("message");
    reader.done();
    throw Failure{printed(run, message).bytes(), TemplateError::By::raise_exception};
}

Value range(Run& run, const Value&, const Arguments& arguments) {
    if (!arguments.named.empty()) fail("range() takes no named arguments");
    ArgumentReader reader("range", arguments);
    std::int64_t from = 0, to = need_integer(reader.need("stop"), "range()'s bound");
    if (const auto second = reader.take("stop")) {
        from = std::exchange(to, need_integer(*second, "range()'s bound"));
    }
    const std::int64_t step = reader.integer("step", 1);
    reader.done();
    if (step == 0) fail("range()'s step is zero");
    const Ref<ListCell> out = run.list(Flavour::range);
    for (std::int64_t at = from; step > 0 ? at < to : at > to;) {
        run.step();
        if (static_cast<std::int64_t>(out->items.size()) == kMaxRange) {
            fail_limit("range() has more than " + std::to_string(kMaxRange) + " items");
        }
        out->push(Value::integer(at));
        if (__builtin_add_overflow(at, step, &at)) break;
    }
    return Value(out);
}

Value strftime_now(Run& run, const Value&, const Arguments& arguments) {
    ArgumentReader reader("strftime_now", arguments);
    const Value format = need_string(reader.need("format"), "strftime_now()'s format");
    reader.done();
    // A conversion takes 24 bytes at most.
    run.meter().check(12 * format.bytes().size());
    run.work(12 * format.bytes().size());
    return run.string(date_text(format.bytes(), run.now()));
}

constexpr NamedFunction kFunctions[] = {{"dict", make_dict},
                                        {"namespace", make_namespace},
                                        {"raise_exception", raise_exception},
                                        {"range", range},
                                        {"strftime_now", strftime_now}};

}  // namespace

std::span<const NamedFunction> global_functions() noexcept {
    return kFunctions;
}

}  // namespace shoal::jinja
