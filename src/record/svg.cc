#include "record/svg.h"

#include <array>

#include "record/text.h"

namespace rebased {
namespace {

// Chosen after the palette of Okabe and Ito, darkened or lightened until every colour stands out from its background.
constexpr std::array<const char*, SvgWriter::kColors> kLight = {"#0072b2", "#d55e00", "#009e73", "#cc5fa0",
                                                                "#b98700", "#3fa2dc", "#5b3a9b", "#5c6066"};
constexpr std::array<const char*, SvgWriter::kColors> kDark = {"#4db1f0", "#ff8b47", "#22c79c", "#f09acb",
                                                               "#f0c040", "#a8dcff", "#b495ff", "#b9bdc5"};

std::string palette(const std::array<const char*, SvgWriter::kColors>& colors) {
  std::string css;
  for (size_t i = 0; i < colors.size(); ++i) {
    css += fmt::format(".rb .c{}{{stroke:{}}}.rb .f{}{{fill:{}}}\n", i, colors[i], i, colors[i]);
  }
  return css;
}

std::string style() {
  std::string css =
      ".rb{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12.5px}\n"
      ".rb .bg{fill:#fff}.rb .t{fill:#24282e}.rb .m{fill:#5d6570}.rb .h{fill:#14171b;font-size:15px;font-weight:600}\n"
      ".rb .g{stroke:#e4e7eb;stroke-width:1}.rb .a{stroke:#8b929c;stroke-width:1}\n"
      ".rb .l{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.rb .b{opacity:.18}\n"
      ".rb .e{stroke:#24282e;stroke-width:1.5;fill:none}.rb .k{stroke-width:1;opacity:.6}\n"
      ".rb .d1{stroke-dasharray:7 4}.rb .d2{stroke-dasharray:2 4}\n";
  css += palette(kLight);
  css +=
      "@media (prefers-color-scheme:dark){\n"
      ".rb .bg{fill:#16191e}.rb .t{fill:#e3e6ea}.rb .m{fill:#a3abb6}.rb .h{fill:#f4f5f7}\n"
      ".rb .g{stroke:#2b3037}.rb .a{stroke:#727a85}.rb .e{stroke:#e3e6ea}\n";
  return css + palette(kDark) + "}\n";
}

}  // namespace

double svg_text_width(std::string_view text) { return static_cast<double>(text_width(text)) * SvgWriter::kFont * 0.56; }

std::string series_stroke(size_t i) {
  return fmt::format("c{} d{}", i % SvgWriter::kColors, i / SvgWriter::kColors % 3);
}

std::string series_fill(size_t i) { return fmt::format("f{}", i % SvgWriter::kColors); }

SvgWriter::SvgWriter(int width, int height, std::string_view title) : width_(width) {
  add("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"rb\" viewBox=\"0 0 {} {}\" width=\"{}\" height=\"{}\" "
      "role=\"img\">\n",
      width, height, width, height);
  if (!title.empty()) add("<title>{}</title>\n", escape_xml(title));
  add("<style>\n{}</style>\n<rect class=\"bg\" width=\"{}\" height=\"{}\"/>\n", style(), width, height);
}

void SvgWriter::text(double x, double y, std::string_view text, Anchor anchor, std::string_view css_class) {
  constexpr const char* kNames[] = {"start", "middle", "end"};
  add("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", css_class, x, y,
      kNames[static_cast<int>(anchor)], escape_xml(text));
}

double SvgWriter::heading(std::string_view title, std::string_view subtitle) {
  double y = 12;
  const auto room = static_cast<int64_t>((width_ - 28) / (kFont * 0.56));
  if (!title.empty()) text(14, y += 16, fit_text(title, room * 5 / 6), Anchor::kStart, "h");
  if (!subtitle.empty()) text(14, y += 18, fit_text(subtitle, room), Anchor::kStart, "m");
  return y;
}

double SvgWriter::legend(double x, double y, const std::vector<std::string>& names) {
  constexpr double kSwatch = 18, kRow = 19;
  const double right = width_ - 14;
  double at = x, row = y + kRow;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    const std::string name = fit_text(names[i], static_cast<int64_t>((right - x - kSwatch - 6) / (kFont * 0.56)));
    const double needed = kSwatch + 6 + svg_text_width(name);
    if (at > x && at + needed > right) {
      at = x;
      row += kRow;
    }
    add("<path class=\"l {}\" style=\"stroke-width:3\" d=\"M{:.1f} {:.1f}h{:.0f}\"/>\n", series_stroke(i), at, row - 4,
        kSwatch);
    text(at + kSwatch + 6, row, name);
    at += needed + 18;
  }
  return row + 2;
}

std::string SvgWriter::finish() && { return std::move(body_) + "</svg>\n"; }

}  // namespace rebased
