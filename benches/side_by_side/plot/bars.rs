//! Bars in groups, the groups in rows.

use std::error::Error;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Red, green, blue.
#[derive(Clone, Copy)]
pub struct Color(pub u8, pub u8, pub u8);

impl Color {
    fn rgb(self) -> RGBColor {
        RGBColor(self.0, self.1, self.2)
    }
}

/// Of one row.
const SIZE: (u32, u32) = (1080, 400);
/// In a row, so that what stands above and below the bars finds room.
const MOST_GROUPS: usize = 7;
/// Of a group's name, in a line.
const MOST_CHARACTERS: usize = 20;
/// Right of the bars, for the legend.
const LEGEND: i32 = 230;
const FONT: &str = "system-ui, sans-serif";
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const LINE: RGBColor = RGBColor(0xd0, 0xd7, 0xde);
/// Paper, ink and lines change places with their dark counterparts where the reader prefers that.
const DARK: &str = "<style>@media (prefers-color-scheme: dark) { [fill=\"#FFFFFF\"] { fill: #0d1117 } \
    [fill=\"#24292F\"] { fill: #e6edf3 } [stroke=\"#24292F\"] { stroke: #e6edf3 } \
    [fill=\"#D0D7DE\"] { fill: #30363d } [stroke=\"#D0D7DE\"] { stroke: #30363d } }</style>";

/// One bar: its height, what is written above it, and the range behind its median.
#[derive(Clone)]
pub struct Bar {
    pub value: f64,
    label: String,
    range: Option<(f64, f64)>,
}

impl Bar {
    pub fn new(value: f64, label: String) -> Self {
        Self { value, label, range: None }
    }

    pub fn between(self, least: f64, most: f64) -> Self {
        Self { range: Some((least, most)), ..self }
    }

    /// In units of `one`; what is written above it stays.
    pub fn over(self, one: f64) -> Self {
        let range = self.range.map(|(least, most)| (least / one, most / one));
        Self { value: self.value / one, range, ..self }
    }

    fn top(&self) -> f64 {
        self.range.map_or(self.value, |(_, most)| most.max(self.value))
    }
}

/// A chart with one bar for each series in each group.
pub struct Chart {
    title: String,
    series: Vec<(String, RGBColor)>,
    groups: Vec<Group>,
    logarithmic: bool,
}

/// A name, and a bar for each series.
type Group = (String, Vec<Option<Bar>>);
type Area<'b> = DrawingArea<SVGBackend<'b>, plotters::coord::Shift>;
type Plane<'b> = ChartContext<'b, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

impl Chart {
    pub fn new<'n>(title: String, series: impl IntoIterator<Item = (&'n str, Color)>) -> Self {
        let series = series.into_iter().map(|(name, color)| (name.to_owned(), color.rgb())).collect();
        Self { title, series, groups: Vec::new(), logarithmic: false }
    }

    pub fn logarithmic(self) -> Self {
        Self { logarithmic: true, ..self }
    }

    pub fn group(&mut self, name: &str, bars: impl IntoIterator<Item = Option<Bar>>) {
        self.groups.push((name.to_owned(), bars.into_iter().collect()));
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub fn svg(&self) -> Result<String, Box<dyn Error>> {
        let mut svg = String::new();
        let rows = self.groups.len().div_ceil(MOST_GROUPS).max(1);
        {
            let size = (SIZE.0, SIZE.1 * rows as u32);
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            root.fill(&PAPER)?;
            let rows =
                self.groups.chunks(self.groups.len().div_ceil(rows).max(1)).zip(root.split_evenly((rows, 1)));
            for (groups, area) in rows {
                self.plot(&area, groups)?;
            }
            root.present()?;
        }
        let at = svg.find("<svg").and_then(|at| Some(at + svg.get(at..)?.find('>')? + 1));
        svg.insert_str(at.ok_or("no svg")?, DARK);
        Ok(svg)
    }

    /// Where a value is on the axis: its logarithm, or itself.
    fn place(&self, value: f64) -> f64 {
        if self.logarithmic { value.max(0.01).log10() } else { value }
    }

    /// One row, on the scale of all.
    fn plot(&self, root: &Area<'_>, groups: &[Group]) -> Result<(), Box<dyn Error>> {
        let bars = || self.groups.iter().flat_map(|(_, bars)| bars.iter().flatten());
        let top = bars().map(|bar| self.place(bar.top())).fold(0.0, f64::max);
        let bottom = if self.logarithmic { -2.0 } else { 0.0 };
        // Room above the bars for what is written there.
        let top = bottom + (top - bottom) * 1.1;
        let mut chart = ChartBuilder::on(root)
            .caption(&self.title, (FONT, 17).into_font().color(&INK))
            .margin(14)
            .margin_right(LEGEND)
            .x_label_area_size(40)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..groups.len() as f64, bottom..top)?;
        let ticks = |value: &f64| match self.logarithmic {
            true => format!("{}", 10f64.powf(*value)),
            false => format!("{value}"),
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .y_labels(if self.logarithmic { (top - bottom) as usize + 1 } else { 6 })
            .y_label_formatter(&ticks)
            .label_style((FONT, 12).into_font().color(&INK))
            .axis_style(LINE)
            .bold_line_style(LINE)
            .light_line_style(PAPER.mix(0.0))
            .draw()?;
        for (n, (name, color)) in self.series.iter().enumerate() {
            let rectangles = groups.iter().enumerate().filter_map(|(group, (_, bars))| {
                let bar = bars.get(n)?.as_ref()?;
                let (left, right) = self.sides(group, n);
                Some(Rectangle::new([(left, bottom), (right, self.place(bar.value))], color.filled()))
            });
            chart.draw_series(rectangles)?;
            let (x, y) = (SIZE.0 as i32 - LEGEND + 16, 60 + n as i32 * 20);
            root.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], color.filled()))?;
            let text = (FONT, 12).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
            root.draw(&Text::new(name.as_str(), (x + 20, y + 6), text))?;
        }
        self.write(root, &chart, groups, bottom)
    }

    /// Left and right of the `n`-th series' bar.
    fn sides(&self, group: usize, n: usize) -> (f64, f64) {
        let width = 0.8 / self.series.len() as f64;
        let left = group as f64 + 0.1 + n as f64 * width;
        (left, left + width * 0.92)
    }

    /// The groups' names, and what stands above each bar.
    fn write(
        &self,
        root: &Area<'_>,
        chart: &Plane<'_>,
        groups: &[Group],
        bottom: f64,
    ) -> Result<(), Box<dyn Error>> {
        let style =
            |size: u32, vertical| (FONT, size).into_font().color(&INK).pos(Pos::new(HPos::Center, vertical));
        // The chart tells where things are in the whole picture, and is drawn on in its row.
        let (left, top) = root.get_base_pixel();
        let at = |x: f64, y: f64| {
            let (x, y) = chart.backend_coord(&(x, y));
            (x - left, y - top)
        };
        for (group, (name, bars)) in groups.iter().enumerate() {
            let (x, y) = at(group as f64 + 0.5, bottom);
            for (line, text) in (0..).zip(lines(name)) {
                root.draw(&Text::new(text, (x, y + 8 + line * 14), style(12, VPos::Top)))?;
            }
            for (n, bar) in bars.iter().enumerate() {
                let Some(bar) = bar else { continue };
                let (left, right) = self.sides(group, n);
                let middle = f64::midpoint(left, right);
                if let Some((least, most)) = bar.range {
                    let ends = [at(middle, least), at(middle, most)];
                    root.draw(&PathElement::new(ends, INK))?;
                }
                let (x, y) = at(middle, self.place(bar.top()));
                root.draw(&Text::new(bar.label.as_str(), (x, y - 4), style(10, VPos::Bottom)))?;
            }
        }
        Ok(())
    }
}

/// A name in lines of words.
fn lines(name: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in name.lines() {
        let mut last = String::new();
        for word in line.split(' ') {
            if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > MOST_CHARACTERS {
                lines.push(std::mem::take(&mut last));
            }
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
        lines.push(last);
    }
    lines
}
