// SPDX-License-Identifier: Apache-2.0
//
// Settings from a YAML file. The one place that knows yaml-cpp.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/parser.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "pool_settings.hpp"

namespace ropeway::detail {
namespace {

/// A file of settings is some kilobytes; a larger one is some other file.
constexpr std::size_t largest_file = 1U << 20U;

std::string place(const std::string& file, const YAML::Mark& mark) {
    return file + (mark.is_null() ? "" : ":" + std::to_string(mark.line + 1));
}

/// Notes where a document begins, and nothing else.
class document_starts final : public YAML::EventHandler {
  public:
    void OnDocumentStart(const YAML::Mark& mark) override { last_ = mark; }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
    void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
    void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  const std::string&) override {}
    void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                         YAML::EmitterStyle::value) override {}
    void OnSequenceEnd() override {}
    void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                    YAML::EmitterStyle::value) override {}
    void OnMapEnd() override {}
    [[nodiscard]] const YAML::Mark& last() const noexcept { return last_; }

  private:
    YAML::Mark last_ = YAML::Mark::null_mark();
};

/// Where a second document begins, if there is one. YAML::LoadAll() would go on for ever at a stray
/// bracket, which yaml-cpp takes for one empty document after the other.
std::optional<YAML::Mark> second_document(const std::string& text) {
    std::istringstream input{text};
    YAML::Parser parser{input};
    document_starts starts;
    if (parser.HandleNextDocument(starts) && parser.HandleNextDocument(starts)) {
        return starts.last();
    }
    return std::nullopt;
}

/// The mapping under a dotted path; what stands in its way goes to `problems`.
YAML::Node section_of(YAML::Node node, const std::string& file, const std::string& section,
                      std::vector<std::string>& problems) {
    for (std::size_t begin = 0; begin < section.size();) {
        const std::size_t end = std::min(section.find('.', begin), section.size());
        const std::string key = section.substr(begin, end - begin);
        const YAML::Node below =
            node.IsMap() ? std::as_const(node)[key] : YAML::Node{YAML::NodeType::Undefined};
        if (!below.IsDefined()) {
            std::string problem = place(file, node.Mark());
            problem.append(": section ").append(section);
            problem.append(" must exist, and there is no key \"").append(key);
            problem.append("\" here. Suggestion: Add it, or name another section");
            problems.push_back(std::move(problem));
            return YAML::Node{YAML::NodeType::Map};
        }
        node.reset(below);
        begin = end + 1;
    }
    return node;
}

void take(const YAML::Node& key, const YAML::Node& value, const std::string& file,
          given_settings& given) {
    if (!key.IsScalar()) {
        given.problems.push_back(place(file, key.Mark()) +
                                 ": a key must be a name. Suggestion: Write KEY: VALUE");
        return;
    }
    const std::string& name = key.Scalar();
    const std::string origin = place(file, key.Mark());
    bool known = false;
    for (const std::string_view existing : setting_keys()) {
        known = known || existing == name;
    }
    if (!known) {
        given.problems.push_back(origin + ": unknown key \"" + name.substr(0, 64) +
                                 "\". Suggestion: Did you mean " + nearest_key(name) + "?");
    } else if (!value.IsScalar()) {
        given.problems.push_back(origin + ": " + name + " must have one value. Suggestion: Write " +
                                 name + ": VALUE, or leave the key out for its default");
    } else {
        given.settings.push_back({name, value.Scalar(), origin});
    }
}

given_settings settings_of_root(const YAML::Node& root, const std::string& file,
                                const std::string& section) {
    given_settings given;
    const YAML::Node map = section_of(root, file, section, given.problems);
    if (map.IsNull()) {
        return given;
    }
    if (!map.IsMap()) {
        given.problems.push_back(
            place(file, map.Mark()) +
            ": settings must be a mapping. Suggestion: Write KEY: VALUE lines");
        return given;
    }
    std::set<std::string> seen;
    for (const auto& entry : map) {
        const YAML::Node& key = entry.first;
        if (key.IsScalar() && !seen.insert(key.Scalar()).second) {
            given.problems.push_back(place(file, key.Mark()) + ": key \"" +
                                     key.Scalar().substr(0, 64) +
                                     "\" must stand once. Suggestion: Remove one of the lines");
            continue;
        }
        take(key, entry.second, file, given);
    }
    return given;
}

given_settings only(std::string problem) {
    return {.settings = {}, .problems = {std::move(problem)}};
}

}  // namespace

given_settings settings_of_yaml(const std::string& text, const std::string& file,
                                const std::string& section) {
    try {
        if (const auto second = second_document(text)) {
            return only(place(file, *second) +
                        ": the file must hold one document. Suggestion: Remove a --- line or a "
                        "stray bracket");
        }
        return settings_of_root(YAML::Load(text), file, section);
    } catch (const YAML::Exception& wrong) {
        return only(place(file, wrong.mark) + ": must be YAML: " + wrong.msg +
                    ". Suggestion: Write KEY: VALUE lines, texts with : or # in quotes");
    }
}

given_settings settings_of_file(const std::string& file, const std::string& section) {
    const auto close = [](std::FILE* open) { std::fclose(open); };
    // "e": descriptors of a library do not leak into its user's children.
    const std::unique_ptr<std::FILE, decltype(close)> input{std::fopen(file.c_str(), "rbe")};
    std::string text;
    std::array<char, 4096> block{};
    std::size_t size = 0;
    while (input && text.size() <= largest_file &&
           (size = std::fread(block.data(), 1, block.size(), input.get())) != 0) {
        text.append(block.data(), size);
    }
    if (!input || std::ferror(input.get()) != 0) {
        const int reason = errno;
        return only(file + ": must be a readable file (" + std::strerror(reason) +
                    "). Suggestion: Correct the path or its permissions");
    }
    if (text.size() > largest_file) {
        return only(file +
                    ": must be at most 1 MiB. Suggestion: Name the file with the pool's settings");
    }
    return settings_of_yaml(text, file, section);
}

}  // namespace ropeway::detail
