//! Draws an experiment's curves: SVG for documents, PNG for everybody else.
//!
//! The only file that knows the plotting library, so that another can take its place. Published curves are dashed with
//! diamonds, ours are solid with circles; bars are the ranges that the experiment gives.

use std::path::Path;

use keyway_sim::experiments::{Plot, Series};
use kuva::plot::scatter::MarkerShape;
use kuva::plot::{LegendPosition, LinePlot, ScatterPlot};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot as Shape;
use kuva::{render_to_png, render_to_svg};

use crate::exit::{Exit, Failure};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 440.0;
/// Pixels of the PNG for each unit of the SVG.
const PNG_SCALE: f32 = 2.0;
/// Readable by most who do not see all colours, and in print (Okabe and Ito).
const PUBLISHED: [&str; 3] = ["#000000", "#999999", "#666666"];
const OURS: [&str; 4] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"];

/// One picture in both forms.
struct Figure {
    /// Text of the SVG; fonts are those of the viewer.
    svg: String,
    /// Bytes of the PNG; its font comes with the library.
    png: Vec<u8>,
}

/// Draws a plot.
///
/// # Errors
/// If the picture cannot be encoded.
fn draw(plot: &Plot) -> Result<Figure, String> {
    let png = render_to_png(shapes(plot), layout(plot), PNG_SCALE)?;
    Ok(Figure { svg: render_to_svg(shapes(plot), layout(plot)), png })
}

/// Makes the directory for pictures, if they are wanted: before minutes of work, not after.
///
/// # Errors
/// If it cannot be made.
pub(super) fn prepare(dir: Option<&Path>) -> Result<(), Failure> {
    let Some(dir) = dir else { return Ok(()) };
    std::fs::create_dir_all(dir).map_err(|e| failed(format!("cannot make {}: {e}", dir.display())))
}

/// Draws all pictures into a directory, if there is one; returns the names of the files.
///
/// # Errors
/// If a picture cannot be drawn or written.
pub(super) fn save(plots: &[Plot], dir: Option<&Path>) -> Result<Vec<String>, Failure> {
    let Some(dir) = dir else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for plot in plots {
        let figure = draw(plot).map_err(|e| failed(format!("cannot draw {}: {e}", plot.file)))?;
        for (ending, bytes) in [("svg", figure.svg.as_bytes()), ("png", &figure.png)] {
            let path = dir.join(format!("{}.{ending}", plot.file));
            std::fs::write(&path, bytes)
                .map_err(|e| failed(format!("cannot write {}: {e}", path.display())))?;
            files.push(path.display().to_string());
        }
    }
    Ok(files)
}

fn failed(message: String) -> Failure {
    Failure::new(Exit::Failure, message)
}

fn layout(plot: &Plot) -> Layout {
    let layout = Layout::auto_from_plots(&shapes(plot))
        .with_width(WIDTH)
        .with_height(HEIGHT)
        .with_title(plot.title.clone())
        .with_title_size(15)
        .with_x_label(plot.x_label)
        .with_y_label(plot.y_label)
        .with_legend_position(LegendPosition::OutsideRightTop);
    if plot.log_x { layout.with_log_x() } else { layout }
}

fn shapes(plot: &Plot) -> Vec<Shape> {
    let (mut published, mut ours) = (PUBLISHED.iter().cycle(), OURS.iter().cycle());
    let mut shapes = Vec::new();
    for series in &plot.series {
        let color = if series.published { published.next() } else { ours.next() };
        shapes.extend(curve(series, color.copied().unwrap_or("#000000")));
    }
    shapes
}

/// A line through the points, and the points with their bars.
fn curve(series: &Series, color: &str) -> Vec<Shape> {
    let points: Vec<(f64, f64)> = series.points.iter().map(|p| (p.x, p.y)).collect();
    let bars =
        series.points.iter().map(|p| p.range.map_or((0.0, 0.0), |(low, high)| (p.y - low, high - p.y)));
    let marker = if series.published { MarkerShape::Diamond } else { MarkerShape::Circle };
    let mut dots = ScatterPlot::new()
        .with_data(points.clone())
        .with_color(color)
        .with_size(if series.published { 4.5 } else { 3.5 })
        .with_marker(marker);
    if series.points.iter().any(|p| p.range.is_some()) {
        dots = dots.with_y_err_asymmetric(bars);
    }
    if !series.joined {
        return vec![Shape::Scatter(dots.with_legend(series.name.clone()))];
    }
    let line = LinePlot::new().with_data(points).with_color(color).with_legend(series.name.clone());
    let line = if series.published { line.with_dashed() } else { line };
    vec![Shape::Line(line.with_stroke_width(1.8)), Shape::Scatter(dots)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_sim::experiments::Point;

    #[test]
    fn a_plot_becomes_an_svg_with_its_words_and_a_png() {
        let points = |y: f64| {
            vec![Point { x: 8.0, y, range: None }, Point { x: 64.0, y: 3.0, range: Some((2.0, 4.0)) }]
        };
        let plot = Plot {
            file: "path".into(),
            title: "Path length".into(),
            x_label: "nodes",
            y_label: "hops",
            log_x: true,
            series: vec![
                Series::published("published curve", points(1.7)),
                Series::ours("our curve", points(1.1)),
            ],
        };
        let figure = draw(&plot).unwrap();
        for word in ["<svg", "Path length", "nodes", "hops", "published curve", "our curve"] {
            assert!(figure.svg.contains(word), "{word}");
        }
        assert!(figure.png.starts_with(b"\x89PNG"));
    }
}
