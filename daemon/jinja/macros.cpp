// The interpreter's macros and calls.
#include "daemon/jinja/error.hpp"
#include "daemon/jinja/interpreter.hpp"
#include "daemon/jinja/loop.hpp"
#include "daemon/jinja/meanwhile.hpp"
#include "daemon/jinja/names.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/print.hpp"

namespace shoal::jinja {
namespace {

class MacroCell : public FunctionCell {
  public:
    MacroCell(Interpreter& interpreter, const Macro& macro, Ref<Scope> scope)
        : FunctionCell(macro.text),
          interpreter_(interpreter),
          macro_(macro),
          scope_(std::move(scope)) {}

    Value call(Run&, Arguments& arguments) override {
        // The body may give the macro's name to something else.
        const Ref<Cell> held(this);
        return interpreter_.call_macro(macro_, scope_, arguments);
    }
    void drop_references() noexcept override { scope_ = Ref<Scope>(); }

  private:
    Interpreter& interpreter_;
    const Macro& macro_;
    Ref<Scope> scope_;
};

/// The argument of this name, taken away.
std::optional<Value> take_named(Arguments& arguments, const std::string& name) {
    for (auto at = arguments.named.begin(); at != arguments.named.end(); ++at) {
        if (at->first != name) continue;
        Value value = std::move(at->second);
        arguments.named.erase(at);
        return value;
    }
    return std::nullopt;
}

void check_spread(std::size_t count) {
    if (count <= kMaxSpreadArguments) return;
    fail_limit("'*' or '**' makes " + std::to_string(count) + " arguments, more than " +
               std::to_string(kMaxSpreadArguments));
}

}  // namespace

Value Interpreter::macro_value(const Macro& macro) {
    const Ref<MacroCell> cell = run_.adopted(new MacroCell(*this, macro, scope_));
    return Value(Ref<FunctionCell>(cell.get()));
}

Interpreter::Flow Interpreter::execute(const Macro& node) {
    scope_->set(node.name, macro_value(node));
    return Flow::next;
}

Interpreter::Flow Interpreter::execute(const CallBlock& node) {
    const auto& call = std::get<Call>(node.call->node);
    const Value callee = evaluate(*call.callee);
    Arguments arguments = evaluated(call.arguments);
    arguments.named.emplace_back("caller", macro_value(node.caller));
    print(run_, *out_, called(callee, arguments));
    check_output();
    return Flow::next;
}

Value Interpreter::call_macro(const Macro& macro, const Ref<Scope>& scope, Arguments& arguments) {
    const std::uint32_t line = run_.line;
    const Run::Level level(run_);
    const Meanwhile inside(scope_, run_.adopted(new Scope(scope)));
    bind(macro, arguments);
    Builder text(run_);
    {
        const Meanwhile captured(out_, &text);
        run(macro.body);
    }
    run_.line = line;
    return text.finish();
}

void Interpreter::bind(const Macro& macro, Arguments& arguments) {
    std::size_t place = 0;
    for (const Parameter& parameter : macro.parameters) {
        const std::optional<Value> named = take_named(arguments, parameter.text);
        if (place < arguments.positional.size()) {
            if (named) {
                fail("macro '" + macro.text + "' got two values for its argument '" +
                     parameter.text + "'");
            }
            scope_->set(parameter.name, arguments.positional[place++]);
        } else if (named) {
            scope_->set(parameter.name, *named);
        } else if (parameter.preset) {
            scope_->set(parameter.name, evaluate(*parameter.preset));
        } else {
            scope_->set(parameter.name,
                        run_.undefined("parameter '" + parameter.text + "' was not provided"));
        }
    }
    arguments.positional.erase(arguments.positional.begin(),
                               arguments.positional.begin() + static_cast<std::ptrdiff_t>(place));
    bind_rest(macro, arguments);
}

void Interpreter::bind_rest(const Macro& macro, Arguments& arguments) {
    if (macro.uses_caller && caller_name_) {
        // The body of {% call %} sees the caller of the macro around it, unless it gets its own.
        const std::optional<Value> caller = take_named(arguments, "caller");
        const bool of_call_block = macro.name == *caller_name_;
        if (caller || !of_call_block) {
            scope_->set(*caller_name_, caller ? *caller : run_.undefined("No caller defined"));
        }
    }
    if (macro.takes_more) {
        const Ref<ListCell> rest = run_.list(Flavour::tuple);
        for (const Value& value : arguments.positional) rest->push(value);
        scope_->set(*varargs_name_, Value(rest));
    } else if (!arguments.positional.empty()) {
        fail("macro '" + macro.text + "' takes not more than " +
             std::to_string(macro.parameters.size()) + " argument(s)");
    }
    if (macro.takes_more_named) {
        const Ref<DictCell> rest = run_.dict();
        for (const auto& [name, value] : arguments.named) rest->set(run_.string(name), value);
        scope_->set(*kwargs_name_, Value(rest));
    } else if (!arguments.named.empty()) {
        fail("macro '" + macro.text + "' takes no keyword argument '" +
             arguments.named.front().first + "'");
    }
}

Arguments Interpreter::evaluated(const CallArguments& arguments) {
    Arguments out;
    for (const ExprPtr& expr : arguments.positional) out.positional.push_back(evaluate(*expr));
    for (const auto& [name, expr] : arguments.named) out.named.emplace_back(name, evaluate(*expr));
    if (arguments.list) {
        const Ref<ListCell> more = items_of(run_, evaluate(*arguments.list));
        check_spread(more->items.size());
        for (const Value& item : more->items) out.positional.push_back(item);
    }
    if (arguments.dict) {
        const Value more = evaluate(*arguments.dict);
        require_defined(more);
        if (!more.is(Value::Kind::dict)) fail("'**' takes a mapping, not " + type_name(more));
        check_spread(more.dict_cell().size());
        for (const auto& [key, value] : more.dict_cell().entries()) {
            if (!key.is_string()) fail("names of arguments must be strings");
            out.named.emplace_back(key.bytes(), value);
        }
    }
    return out;
}

Value Interpreter::called(const Value& callee, Arguments& arguments) {
    run_.step();
    if (callee.is(Value::Kind::function)) return callee.function_cell().call(run_, arguments);
    if (callee.is(Value::Kind::loop)) {
        if (arguments.positional.size() != 1) fail("loop() takes the items to go on with");
        return callee.loop_cell().recurse(run_, arguments.positional.front());
    }
    require_defined(callee);
    fail("'" + type_name(callee) + "' object is not callable");
}

Value Interpreter::evaluate(const Call& node) {
    const std::uint32_t line = run_.line;
    const Value callee = evaluate(*node.callee);
    Arguments arguments = evaluated(node.arguments);
    run_.line = line;
    return called(callee, arguments);
}

}  // namespace shoal::jinja
