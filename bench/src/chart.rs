//! The chart: for each command, how many times as fast ours is as each reference, a bar per pipeline length.

use anyhow::{Result, ensure};
use plotters::prelude::*;

use crate::program::Role;
use crate::sections::Measured;
use crate::stats::ratio;

const WIDTH: u32 = 1100;
const PANEL_HEIGHT: u32 = 420;
/// One per pipeline length, light to dark.
const COLOURS: [RGBColor; 4] = [
    RGBColor(158, 202, 225),
    RGBColor(66, 146, 198),
    RGBColor(8, 81, 156),
    RGBColor(8, 29, 88),
];

const LABEL: (&str, u32) = ("sans-serif", 15);

type Area<'s> = DrawingArea<SVGBackend<'s>, plotters::coord::Shift>;

/// One bar.
#[derive(Debug, PartialEq)]
struct Bar {
    /// The command's place in the row.
    command: usize,
    /// The pipeline length's place among the bars of a command.
    pipeline: usize,
    ratio: f64,
}

/// The bars against one reference.
#[derive(Debug, Default)]
struct Panel {
    reference: String,
    commands: Vec<String>,
    pipelines: Vec<usize>,
    bars: Vec<Bar>,
}

/// Draws throughput as ratios, a panel per reference, as SVG.
///
/// # Errors
///
/// There is no reference to compare with, or drawing fails.
pub fn throughput(measured: &[Measured]) -> Result<String> {
    let panels = panels(measured);
    ensure!(
        !panels.is_empty(),
        "a chart compares commands: it needs a reference, and the section `commands`"
    );
    let mut svg = String::new();
    let height = PANEL_HEIGHT * u32::try_from(panels.len())?;
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        for (area, panel) in area.split_evenly((panels.len(), 1)).iter().zip(&panels) {
            draw(area, panel)?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn panels(measured: &[Measured]) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for other in measured
        .iter()
        .filter(|one| one.program.role == Role::Reference)
    {
        let ours = measured.iter().find(|one| {
            one.program.role == Role::Ours
                && (&one.command, one.pipeline) == (&other.command, other.pipeline)
        });
        let ratio = ours.and_then(|ours| ratio(ours.per_second, other.per_second));
        let Some(ratio) = ratio else { continue };
        let name = &other.program.name;
        let at = place(
            &mut panels,
            |panel| panel.reference == *name,
            || Panel {
                reference: name.clone(),
                ..Panel::default()
            },
        );
        let panel = &mut panels[at];
        let command = place(
            &mut panel.commands,
            |it| *it == other.command,
            || other.command.clone(),
        );
        let pipeline = place(
            &mut panel.pipelines,
            |it| *it == other.pipeline,
            || other.pipeline,
        );
        panel.bars.push(Bar {
            command,
            pipeline,
            ratio,
        });
    }
    panels
}

/// Where it stands in the list, at whose end it is put if it is new.
fn place<T>(list: &mut Vec<T>, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> usize {
    let found = list.iter().position(is_it);
    found.unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    })
}

#[expect(clippy::cast_precision_loss, reason = "a few dozen bars")]
fn draw(area: &Area<'_>, panel: &Panel) -> Result<()> {
    let highest = panel.bars.iter().map(|bar| bar.ratio).fold(1.0, f64::max);
    let columns = panel.commands.len() as f64;
    let title = format!("Throughput: times that of {}", panel.reference);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .margin_top(16)
        .x_label_area_size(115)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..columns, 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .max_light_lines(1)
        .y_label_formatter(&|ratio| format!("×{ratio:.1}"))
        .label_style(LABEL)
        .draw()?;
    let width = 0.8 / panel.pipelines.len().max(1) as f64;
    let shapes = panel.bars.iter().map(|bar| {
        let left = bar.command as f64 + 0.1 + width * bar.pipeline as f64;
        let corners = [(left, 0.0), (left + width, bar.ratio)];
        Rectangle::new(corners, colour(bar.pipeline).filled())
    });
    chart.draw_series(shapes)?;
    chart.draw_series([PathElement::new([(0.0, 1.0), (columns, 1.0)], BLACK)])?;
    let style = LABEL
        .into_text_style(area)
        .transform(FontTransform::Rotate90);
    let (left, top) = area.get_base_pixel();
    for (index, command) in panel.commands.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(index as f64 + 0.5, 0.0));
        area.draw_text(command, &style, (x - left + 6, y - top + 6))?;
    }
    legend(area, &panel.pipelines)
}

/// Which colour is which pipeline length, at the top right, where no bar reaches.
fn legend(area: &Area<'_>, pipelines: &[usize]) -> Result<()> {
    const COLUMN: i32 = 110;
    let (width, _) = area.dim_in_pixel();
    let mut x = i32::try_from(width)? - COLUMN * i32::try_from(pipelines.len())?;
    for (index, pipeline) in pipelines.iter().enumerate() {
        let square = [(x, 14), (x + 12, 26)];
        area.draw(&Rectangle::new(square, colour(index).filled()))?;
        let style = LABEL.into_text_style(area);
        area.draw_text(&format!("pipeline {pipeline}"), &style, (x + 18, 13))?;
        x += COLUMN;
    }
    Ok(())
}

fn colour(pipeline: usize) -> RGBColor {
    COLOURS[pipeline % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;

    fn measured(command: &str, pipeline: usize, role: Role, per_second: f64) -> Measured {
        Measured {
            command: command.to_owned(),
            pipeline,
            program: Program {
                name: format!("{role:?}"),
                version: String::new(),
                role,
                path: "x".into(),
            },
            per_second,
            cpu_us: 1.0,
            latency_us: [1.0; 3],
        }
    }

    fn some() -> Vec<Measured> {
        vec![
            measured("SET", 1, Role::Ours, 30.0),
            measured("SET", 1, Role::Reference, 20.0),
            measured("SET", 1, Role::Limit, 90.0),
            measured("GET", 1, Role::Ours, 5.0),
            measured("GET", 1, Role::Reference, 10.0),
            measured("GET", 16, Role::Ours, 80.0),
            measured("GET", 16, Role::Reference, 20.0),
        ]
    }

    #[test]
    fn bars_are_ratios_to_the_reference() {
        let panels = panels(&some());
        assert_eq!(panels.len(), 1);
        assert_eq!(panels[0].commands, ["SET", "GET"]);
        let bar = |command, pipeline, ratio| Bar {
            command,
            pipeline,
            ratio,
        };
        assert_eq!(
            panels[0].bars,
            [bar(0, 0, 1.5), bar(1, 0, 0.5), bar(1, 1, 4.0)]
        );
    }

    #[test]
    fn the_chart_names_what_it_shows() {
        let svg = throughput(&some()).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
            "{svg}"
        );
        for text in [
            "SET",
            "GET",
            "pipeline 1",
            "pipeline 16",
            "times that of Reference",
        ] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
    }

    #[test]
    fn there_is_no_chart_without_a_reference() {
        assert!(throughput(&some()[..1]).is_err());
    }
}
