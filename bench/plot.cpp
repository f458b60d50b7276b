// SPDX-License-Identifier: Apache-2.0
#include "plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace ropeway::bench {
namespace {

constexpr double width = 720;
constexpr double height = 420;
constexpr double left = 70;
constexpr double right = 150;
constexpr double top = 50;
constexpr double bottom = 60;
constexpr std::array<const char*, 4> colours{"#1f6feb", "#d1242f", "#1a7f37", "#9a6700"};

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '&': out += "&amp;"; break;
            default: out += c;
        }
    }
    return out;
}

template <class... Values>
void add(std::string& to, const char* how, Values... values) {
    std::array<char, 512> text{};
    const int size = std::snprintf(text.data(), text.size(), how, values...);
    to.append(text.data(), static_cast<std::size_t>(std::max(size, 0)));
}

std::string short_number(double value) {
    std::array<char, 32> text{};
    const char* const how = value >= 100 || value == std::floor(value) ? "%.0f" : "%.3g";
    static_cast<void>(std::snprintf(text.data(), text.size(), how, value));
    return text.data();
}

/// 1, 2 or 5 times a power of ten: about five steps up to `most`.
double step_for(double most) {
    const double power = std::pow(10, std::floor(std::log10(most / 5)));
    for (const double by : {1.0, 2.0, 5.0}) {
        if (most / (by * power) <= 6) {
            return by * power;
        }
    }
    return 10 * power;
}

}  // namespace

std::string to_svg(const plot& what) {
    double most = 0;
    double least = 1e300;
    for (const line& one : what.lines) {
        most = std::max(most, *std::max_element(one.y.begin(), one.y.end()));
        least = std::min(least, *std::min_element(one.y.begin(), one.y.end()));
    }
    const double x_span = std::log2(what.x.back() / what.x.front());
    const auto x_of = [&](double x) {
        return left + (width - left - right) * std::log2(x / what.x.front()) / x_span;
    };
    const double floor_y = what.log_y ? std::pow(10, std::floor(std::log10(least))) : 0;
    const double ceiling = what.log_y ? std::pow(10, std::ceil(std::log10(most))) : most * 1.1;
    const auto y_of = [&](double y) {
        const double share =
            what.log_y ? std::log10(y / floor_y) / std::log10(ceiling / floor_y) : y / ceiling;
        return height - bottom - (height - top - bottom) * share;
    };

    std::string out;
    add(out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" "
        "fill=\"white\"/>\n",
        width, height);
    add(out, "<text x=\"%.0f\" y=\"22\" font-size=\"15\">%s</text>\n", left,
        escaped(what.title).c_str());
    add(out, "<text x=\"%.0f\" y=\"40\" fill=\"#666\" font-size=\"10\">%s</text>\n", left,
        escaped(what.note).c_str());
    std::vector<double> marks;
    if (what.log_y) {
        for (double y = floor_y; y <= ceiling * 1.001; y *= 10) {
            marks.push_back(y);
        }
    } else {
        for (double y = 0; y <= ceiling; y += step_for(ceiling)) {
            marks.push_back(y);
        }
    }
    for (const double y : marks) {
        add(out,
            "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
            left, y_of(y), width - right, y_of(y), left - 6, y_of(y) + 4, short_number(y).c_str());
    }
    for (const double x : what.x) {
        add(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x_of(x),
            height - bottom + 18, short_number(x).c_str());
    }
    add(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
        (left + width - right) / 2, height - bottom + 40, escaped(what.below).c_str());
    add(out,
        "<text transform=\"translate(16 %.1f) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
        (top + height - bottom) / 2, escaped(what.beside).c_str());
    for (std::size_t i = 0; i < what.lines.size(); ++i) {
        const line& one = what.lines[i];
        const char* const colour = colours[i % colours.size()];
        add(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colour);
        for (std::size_t k = 0; k < one.y.size(); ++k) {
            add(out, "%.1f,%.1f ", x_of(what.x[k]), y_of(one.y[k]));
        }
        out += "\"/>\n";
        for (std::size_t k = 0; k < one.y.size(); ++k) {
            add(out,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>%s at %s: "
                "%s</title></circle>\n",
                x_of(what.x[k]), y_of(one.y[k]), colour, escaped(one.name).c_str(),
                short_number(what.x[k]).c_str(), short_number(one.y[k]).c_str());
        }
        add(out, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s</text>\n", width - right + 10,
            top + 16 + 18 * static_cast<double>(i), colour, escaped(one.name).c_str());
    }
    return out + "</svg>\n";
}

}  // namespace ropeway::bench
