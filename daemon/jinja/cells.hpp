// The cells behind strings, lists, dicts and functions. Internal to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "daemon/jinja/value.hpp"

namespace shoal::jinja {

class StringCell : public Cell {
  public:
    StringCell(Text text, bool markup);
    const Text text;
    const std::size_t code_points;
    /// Safe for HTML, as jinja2's Markup: what is added to it is escaped.
    const bool markup;
    bool ascii() const noexcept { return code_points == text.size(); }
};

/// What Python takes a list for.
enum class Flavour : std::uint8_t { list, tuple, range, keys, values, items, generator };

class ListCell : public Cell {
  public:
    explicit ListCell(Flavour kind) noexcept : flavour(kind) {}
    void push(Value value) {
        grow(sizeof(Value));
        items.push_back(std::move(value));
    }
    void drop_references() noexcept override { items.clear(); }

    const Flavour flavour;
    bool consumed = false;  ///< a generator gives its items once
    std::string failure;    ///< what a generator fails with when somebody wants its items
    bool group = false;     ///< a tuple of groupby: has the attributes grouper and list
    std::vector<Value> items;
};

/// Keys in the order in which they came. Also the attributes of a name space.
class DictCell : public Cell {
  public:
    struct Entry {
        Value key, value;
    };

    /// Null when there is no such key, or none could be: lists cannot be keys. Until set or erase.
    const Entry* find(const Value& key) const;
    const Entry* find(std::string_view key) const;
    /// Throws Failure when the key is none that a dict takes.
    void set(Value key, Value value);
    bool erase(const Value& key);
    void clear();
    const std::vector<Entry>& entries() const noexcept { return entries_; }
    std::size_t size() const noexcept { return entries_.size(); }
    void drop_references() noexcept override { clear(); }

  private:
    struct Less {
        bool operator()(const Value& a, const Value& b) const noexcept;
    };
    std::size_t position_of(const Value& key) const;
    void index_all();

    std::vector<Entry> entries_;
    /// Where each key is, for dicts that are not small. A tree: no keys make it slow.
    std::map<Value, std::size_t, Less> index_;
};

/// Says what was missing when somebody does more than to ask for it.
class UndefinedCell : public Cell {
  public:
    explicit UndefinedCell(std::string message) : what(std::move(message)) {}
    const std::string what;
};

class Run;

struct Arguments {
    std::vector<Value> positional;
    std::vector<std::pair<std::string, Value>> named;
};

class FunctionCell : public Cell {
  public:
    explicit FunctionCell(std::string its_name) : name(std::move(its_name)) {}
    virtual Value call(Run& run, Arguments& arguments) = 0;
    const std::string name;
};

}  // namespace shoal::jinja
