#include "daemon/jinja/methods.hpp"

#include <algorithm>

namespace shoal::jinja {
namespace {

class BoundFunction : public FunctionCell {
  public:
    BoundFunction(const NamedFunction& function, Value self)
        : FunctionCell(std::string(function.name)),
          function_(function.function),
          self_(std::move(self)) {}

    Value call(Run& run, Arguments& arguments) override { return function_(run, self_, arguments); }
    void drop_references() noexcept override { self_ = Value(); }

  private:
    Function function_;
    Value self_;
};

std::span<const NamedFunction> methods_of(const Value& object) noexcept {
    switch (object.kind()) {
        case Value::Kind::string:
            return string_methods();
        case Value::Kind::dict:
            return dict_methods();
        case Value::Kind::list:
            switch (object.list_cell().flavour) {
                case Flavour::list:
                    return list_methods();
                case Flavour::tuple:
                case Flavour::range:
                    return tuple_methods();
                default:
                    return {};
            }
        default:
            return {};
    }
}

}  // namespace

const NamedFunction* find_function(std::span<const NamedFunction> functions,
                                   std::string_view name) noexcept {
    const auto at = std::lower_bound(functions.begin(), functions.end(), name,
                                     [](const NamedFunction& function, std::string_view wanted) {
                                         return function.name < wanted;
                                     });
    return at != functions.end() && at->name == name ? &*at : nullptr;
}

Value bound(Run& run, const NamedFunction& function, const Value& self) {
    const Ref<BoundFunction> cell = run.adopted(new BoundFunction(function, self));
    return Value(Ref<FunctionCell>(cell.get()));
}

std::optional<Value> method_of(Run& run, const Value& object, std::string_view name) {
    const NamedFunction* method = find_function(methods_of(object), name);
    if (method == nullptr) return std::nullopt;
    return bound(run, *method, object);
}

}  // namespace shoal::jinja
