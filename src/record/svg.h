#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

namespace rebased {

// What the charts share: the frame of the picture, its style, text, titles and legends. Classes of the style:
// c0..c7 stroke and f0..f7 fill in the series' colors, d0..d2 dashes, t text, m muted text, h title, g grid, a axis.
class SvgWriter {
 public:
  static constexpr int kColors = 8;
  static constexpr double kFont = 12.5;  // pixels, of all text but titles
  enum class Anchor { kStart, kMiddle, kEnd };

  SvgWriter(int width, int height, std::string_view title);

  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(body_), format, std::forward<Args>(args)...);
  }
  // x, y: of the baseline; the text is escaped here.
  void text(double x, double y, std::string_view text, Anchor anchor = Anchor::kStart,
            std::string_view css_class = "t");

  // Title and subtitle at the top left; returns the y below them.
  double heading(std::string_view title, std::string_view subtitle);

  // Swatches and names of the series in rows across the width; returns the y below them. Empty names are left out.
  double legend(double x, double y, const std::vector<std::string>& names);

  std::string finish() &&;

 private:
  int width_;
  std::string body_;
};

// Pixels that a text takes up, on the safe side: an average letter is 0.56 of the font size wide.
double svg_text_width(std::string_view text);

// The classes of series number i: "c3 d0".
std::string series_stroke(size_t i);
std::string series_fill(size_t i);

}  // namespace rebased
