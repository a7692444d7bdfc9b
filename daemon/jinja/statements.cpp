// The interpreter's statements.
#include "daemon/jinja/error.hpp"
#include "daemon/jinja/globals.hpp"
#include "daemon/jinja/interpreter.hpp"
#include "daemon/jinja/loop.hpp"
#include "daemon/jinja/meanwhile.hpp"
#include "daemon/jinja/operators.hpp"
#include "daemon/jinja/print.hpp"

namespace shoal::jinja {
namespace {

/// `loop` where the loop may be called with other items.
class RecursiveLoop : public LoopCell {
  public:
    RecursiveLoop(Interpreter& interpreter, const For& node, Ref<Scope> scope, Ref<ListCell> items,
                  std::int64_t depth) noexcept
        : LoopCell(std::move(items), depth),
          interpreter_(interpreter),
          node_(node),
          scope_(std::move(scope)) {}

    Value recurse(Run&, const Value& items) override {
        return interpreter_.render_loop(node_, scope_, items, depth() + 1);
    }
    void drop_references() noexcept override {
        LoopCell::drop_references();
        scope_ = Ref<Scope>();
    }

  private:
    Interpreter& interpreter_;
    const For& node_;
    Ref<Scope> scope_;
};

}  // namespace

Interpreter::Interpreter(Run& run, const ParsedTemplate& parsed, const Value& variables)
    : run_(run), parsed_(parsed), main_(run), out_(&main_) {
    given_.resize(parsed.names.size());
    for (NameId id = 0; id < parsed.names.size(); ++id) {
        const std::string& name = parsed.names[id];
        if (name == "loop") loop_name_ = id;
        if (name == "varargs") varargs_name_ = id;
        if (name == "kwargs") kwargs_name_ = id;
        if (name == "caller") caller_name_ = id;
        const DictCell::Entry* variable = variables.dict_cell().find(name);
        const NamedFunction* function = find_function(global_functions(), name);
        if (variable != nullptr) {
            given_[id] = variable->value;
        } else if (function != nullptr) {
            given_[id] = bound(run, *function, Value::none());
        }
    }
}

Text Interpreter::render() {
    scope_ = run_.adopted(new Scope(Ref<Scope>()));
    run(parsed_.body);
    return main_.take();
}

Interpreter::Flow Interpreter::run(const Body& body) {
    const Run::Level level(run_);
    for (const Stmt& statement : body) {
        const Flow flow = run(statement);
        if (flow != Flow::next) return flow;
    }
    return Flow::next;
}

Interpreter::Flow Interpreter::run(const Stmt& statement) {
    run_.step();
    run_.line = statement.line;
    return std::visit([this](const auto& node) { return execute(node); }, statement.node);
}

void Interpreter::check_output() {
    if (main_.text().size() <= run_.limits().output_bytes) return;
    fail_limit("it writes more than " + std::to_string(run_.limits().output_bytes) + " bytes");
}

Interpreter::Flow Interpreter::execute(const OutputText& node) {
    out_->append(node.text);
    check_output();
    return Flow::next;
}

Interpreter::Flow Interpreter::execute(const OutputValue& node) {
    print(run_, *out_, evaluate(*node.value));
    check_output();
    return Flow::next;
}

Interpreter::Flow Interpreter::execute(const If& node) {
    for (const auto& [test, body] : node.branches) {
        if (truth(evaluate(*test))) return run(body);
    }
    return run(node.otherwise);
}

Interpreter::Flow Interpreter::execute(const For& node) {
    const Value items = evaluate(*node.items);
    return run_loop(node, scope_, items, 0);
}

Ref<ListCell> Interpreter::chosen_items(const For& node, const Ref<ListCell>& items) {
    if (!node.condition) return items;
    const Ref<ListCell> out = run_.list();
    const Meanwhile inside(scope_, run_.adopted(new Scope(scope_)));
    for (std::size_t i = 0; i < items->items.size(); ++i) {
        const Value item = items->items[i];
        assign(node.target, item);
        if (truth(evaluate(*node.condition))) out->push(item);
    }
    return out;
}

Interpreter::Flow Interpreter::run_loop(const For& node, Ref<Scope> scope, const Value& items,
                                        std::int64_t depth) {
    const Meanwhile outside(scope_, scope);
    const Ref<ListCell> chosen = chosen_items(node, items_of(run_, items));
    const Ref<LoopCell> loop(node.recursive ? run_.adopted<LoopCell>(new RecursiveLoop(
                                                  *this, node, scope, chosen, depth))
                                            : run_.adopted(new LoopCell(chosen, depth)));
    bool any = false;
    while (loop->next()) {
        any = true;
        run_.step();
        const Meanwhile inside(scope_, run_.adopted(new Scope(scope)));
        if (loop_name_) scope_->set(*loop_name_, Value(loop));
        const Value item = loop->item();
        assign(node.target, item);
        if (run(node.body) == Flow::stop_loop) break;
    }
    if (any || node.otherwise.empty()) return Flow::next;
    const Meanwhile inside(scope_, run_.adopted(new Scope(scope)));
    return run(node.otherwise);
}

Value Interpreter::render_loop(const For& loop, const Ref<Scope>& scope, const Value& items,
                               std::int64_t depth) {
    Builder text(run_);
    {
        const Meanwhile captured(out_, &text);
        run_loop(loop, scope, items, depth);
    }
    return text.finish();
}

void Interpreter::assign(const Target& target, const Value& value) {
    switch (target.kind) {
        case Target::Kind::name:
            return scope_->set(target.name, value);
        case Target::Kind::attribute: {
            const Value object = look_up(target.name);
            if (!object.is(Value::Kind::name_space)) {
                fail("cannot assign attribute on non-namespace object '" +
                     parsed_.names[target.name] + "'");
            }
            return object.dict_cell().set(target.attribute, value);
        }
        case Target::Kind::tuple: {
            require_defined(value);
            const Ref<ListCell> items = items_of(run_, value);
            const std::size_t wanted = target.items.size(), given = items->items.size();
            if (wanted != given) {
                fail((given < wanted ? "not enough" : "too many") +
                     (" values to unpack (expected " + std::to_string(wanted) + ", got " +
                      std::to_string(given) + ")"));
            }
            for (std::size_t i = 0; i < wanted; ++i) assign(target.items[i], items->items[i]);
        }
    }
}

Interpreter::Flow Interpreter::execute(const Set& node) {
    assign(node.target, evaluate(*node.value));
    return Flow::next;
}

Interpreter::Flow Interpreter::capture(const Body& body, Builder& text) {
    const Meanwhile captured(out_, &text);
    const Meanwhile inside(scope_, run_.adopted(new Scope(scope_)));
    return run(body);
}

Interpreter::Flow Interpreter::execute(const SetBlock& node) {
    Builder text(run_);
    if (const Flow flow = capture(node.body, text); flow != Flow::next) return flow;
    assign(node.target, filtered_block(node.filter, text.finish()));
    return Flow::next;
}

Interpreter::Flow Interpreter::execute(const FilterBlock& node) {
    Builder text(run_);
    if (const Flow flow = capture(node.body, text); flow != Flow::next) return flow;
    print(run_, *out_, filtered_block(node.filter, text.finish()));
    check_output();
    return Flow::next;
}

Interpreter::Flow Interpreter::execute(const With& node) {
    const Ref<Scope> inner = run_.adopted(new Scope(scope_));
    for (const auto& [target, expr] : node.variables) {
        const Value value = evaluate(*expr);
        const Meanwhile inside(scope_, inner);
        assign(target, value);
    }
    const Meanwhile inside(scope_, inner);
    return run(node.body);
}

Interpreter::Flow Interpreter::execute(const Scoped& node) {
    const Meanwhile inside(scope_, run_.adopted(new Scope(scope_)));
    return run(node.body);
}

Interpreter::Flow Interpreter::execute(const Do& node) {
    evaluate(*node.value);
    return Flow::next;
}

}  // namespace shoal::jinja
