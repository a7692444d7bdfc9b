// Walks the tree of a template. Internal to this folder.
#pragma once

#include <optional>
#include <vector>

#include "daemon/jinja/ast.hpp"
#include "daemon/jinja/run.hpp"
#include "daemon/jinja/scope.hpp"

namespace shoal::jinja {

/// Owned by one rendering. Failures leave as Failure; the run's line says where.
class Interpreter {
  public:
    /// `variables` is a dict.
    Interpreter(Run& run, const ParsedTemplate& parsed, const Value& variables);

    Text render();

    /// A macro with its arguments, in the scope that it was made in.
    Value call_macro(const Macro& macro, const Ref<Scope>& scope, Arguments& arguments);
    /// A loop inside its own body.
    Value render_loop(const For& loop, const Ref<Scope>& scope, const Value& items,
                      std::int64_t depth);

  private:
    /// How a statement ends.
    enum class Flow : std::uint8_t { next, stop_loop, next_item };

    Flow run(const Body& body);
    Flow run(const Stmt& statement);
    /// The body in a scope of its own, with its output in `text`.
    Flow capture(const Body& body, Builder& text);
    Flow execute(const OutputText& node);
    Flow execute(const OutputValue& node);
    Flow execute(const If& node);
    Flow execute(const For& node);
    Flow execute(const Set& node);
    Flow execute(const SetBlock& node);
    Flow execute(const Macro& node);
    Flow execute(const CallBlock& node);
    Flow execute(const FilterBlock& node);
    Flow execute(const With& node);
    Flow execute(const Scoped& node);
    Flow execute(const Do& node);
    Flow execute(const Break&) { return Flow::stop_loop; }
    Flow execute(const Continue&) { return Flow::next_item; }

    Flow run_loop(const For& node, Ref<Scope> scope, const Value& items, std::int64_t depth);
    Ref<ListCell> chosen_items(const For& node, const Ref<ListCell>& items);
    void bind(const Macro& macro, Arguments& arguments);
    void bind_rest(const Macro& macro, Arguments& arguments);
    Value macro_value(const Macro& macro);
    void assign(const Target& target, const Value& value);
    void check_output();

    Value evaluate(const Expr& expr);
    Value evaluate(const Constant& node) { return node.value; }
    Value evaluate(const Variable& node) { return look_up(node.name); }
    Value evaluate(const Display& node);
    Value evaluate(const DictDisplay& node);
    Value evaluate(const Attribute& node);
    Value evaluate(const Subscript& node);
    Value evaluate(const Slice& node);
    Value evaluate(const Call& node);
    Value evaluate(const Filtering& node);
    Value evaluate(const Testing& node);
    Value evaluate(const Not& node);
    Value evaluate(const Sign& node);
    Value evaluate(const Arithmetic& node);
    Value evaluate(const Concatenation& node);
    Value evaluate(const Comparison& node);
    Value evaluate(const Logical& node);
    Value evaluate(const Conditional& node);

    Value look_up(NameId name);
    Arguments evaluated(const CallArguments& arguments);
    Value called(const Value& callee, Arguments& arguments);
    Value filtered_block(const ExprPtr& filter, const Value& block);

    Run& run_;
    const ParsedTemplate& parsed_;
    std::vector<std::optional<Value>> given_;  ///< variables and functions, by NameId
    std::optional<NameId> loop_name_, varargs_name_, kwargs_name_, caller_name_;
    Ref<Scope> scope_;
    Builder main_;
    Builder* out_;
    const Value* block_ = nullptr;  ///< what a filter without a subject filters
};

}  // namespace shoal::jinja
