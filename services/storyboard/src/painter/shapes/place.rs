//! What is too large to carry: car, house.

use super::super::brush::{disc, outline, oval, rounded};
use super::Model;

/// A car from the side, driving to the right.
pub fn car(model: &mut Model<'_>) {
    let (body, dark, metal) = (model.roles.body, model.dark(), model.metal());
    let shell = outline(
        "M -0.49 0.05 C -0.5 -0.01 -0.47 -0.035 -0.42 -0.045 L -0.31 -0.06 C -0.24 -0.12 -0.16 -0.16 -0.04 -0.162 C 0.08 -0.162 0.14 -0.12 0.23 -0.052 C 0.34 -0.045 0.44 -0.02 0.475 0.02 C 0.5 0.05 0.5 0.1 0.48 0.105 L -0.46 0.11 C -0.48 0.11 -0.485 0.09 -0.49 0.05 Z",
    );
    model.brush.fade(
        shell,
        (0.0, -0.16),
        (0.0, 0.11),
        &[
            (0.0, body.mix(model.roles.light, 0.6), 1.0),
            (0.34, body.mix(model.roles.light, 0.15), 1.0),
            (0.62, body, 1.0),
            (0.7, body.darker(0.3), 1.0),
            (1.0, body.darker(0.6), 1.0),
        ],
    );
    let window = dark.mix(model.roles.light, 0.1);
    model.glass(outline("M -0.265 -0.055 C -0.21 -0.105 -0.15 -0.137 -0.06 -0.14 L -0.055 -0.052 Z"), window);
    model.glass(outline("M -0.035 -0.14 C 0.06 -0.142 0.12 -0.105 0.185 -0.052 L -0.03 -0.052 Z"), window);
    model.brush.line(outline("M -0.45 -0.005 C -0.2 -0.03 0.2 -0.03 0.45 0.012"), 0.004, model.roles.light, 0.65);
    model.brush.line(
        outline("M -0.045 -0.05 L -0.05 0.085 M -0.28 -0.05 C -0.29 0 -0.27 0.06 -0.24 0.085 L 0.2 0.085"),
        0.003,
        dark,
        0.5,
    );
    model.brush.fill(rounded(0.0, -0.02, 0.05, 0.009, 0.004), metal, 0.9);
    model.brush.fill(
        outline("M 0.48 0.022 C 0.46 0.005 0.42 -0.008 0.39 -0.01 C 0.4 0.018 0.44 0.03 0.485 0.034 Z"),
        model.roles.light.lighter(0.6),
        1.0,
    );
    model.brush.fill(
        outline("M -0.49 0.03 C -0.49 0 -0.47 -0.015 -0.44 -0.02 L -0.44 0.012 Z"),
        model.roles.accent.mix(super::Tone::new(0.95, 0.12, 0.1), 0.6),
        1.0,
    );
    model.brush.halo((0.47, 0.02), 0.16, model.roles.light, 0.5);
    for x in [-0.31, 0.305] {
        model.brush.fill(disc(x, 0.085, 0.09), dark.darker(0.3), 1.0);
        model.brush.fill(disc(x, 0.09, 0.075), dark, 1.0);
        model.shiny(disc(x, 0.09, 0.052), metal);
        model.brush.fill(disc(x, 0.09, 0.044), dark, 0.75);
        for spoke in 0u8..5 {
            let (sin, cos) = (f32::from(spoke) * std::f32::consts::TAU / 5.0).sin_cos();
            model.brush.line(
                outline(&format!("M {x} 0.09 L {} {}", x + sin * 0.042, 0.09 - cos * 0.042)),
                0.01,
                metal,
                1.0,
            );
        }
        model.brush.fill(disc(x, 0.09, 0.011), metal.lighter(0.3), 1.0);
    }
    model.brush.fill(oval(0.0, 0.108, 0.2, 0.004), dark, 0.6);
}

/// A house with light in its windows.
pub fn house(model: &mut Model<'_>) {
    let (body, accent, dark) = (model.roles.body, model.roles.accent, model.dark());
    let glow = model.roles.light.mix(super::Tone::new(1.0, 0.84, 0.5), 0.6);
    model.form(outline("M -0.42 0.42 L -0.42 -0.05 L -0.12 -0.05 L -0.12 0.42 Z"), body.darker(0.14));
    model.form(outline("M -0.16 0.42 L -0.16 -0.1 L 0.13 -0.38 L 0.42 -0.1 L 0.42 0.42 Z"), body);
    let roof = accent.mix(dark, 0.35);
    model.form(outline("M -0.5 -0.03 L -0.4 -0.2 L -0.08 -0.2 L -0.18 -0.03 Z"), roof);
    model.form(outline("M -0.23 -0.04 L 0.13 -0.42 L 0.5 -0.04 L 0.44 0 L 0.13 -0.32 L -0.17 0 Z"), roof.darker(0.1));
    model.form(rounded(0.26, -0.4, 0.07, 0.17, 0.005), roof.darker(0.25));
    for (x, y, w, h) in [(-0.35, 0.07, 0.16, 0.16), (0.22, 0.06, 0.13, 0.18), (0.07, -0.16, 0.12, 0.12)] {
        model.brush.fill(
            rounded(x - 0.012, y - 0.012, w + 0.024, h + 0.024, 0.006),
            body.mix(model.roles.light, 0.7),
            1.0,
        );
        model.brush.fade(
            rounded(x, y, w, h, 0.003),
            (x, y),
            (x, y + h),
            &[(0.0, glow, 1.0), (1.0, glow.mix(accent, 0.4), 1.0)],
        );
        model.brush.line(
            outline(&format!(
                "M {} {y} L {} {} M {x} {} L {} {}",
                x + w / 2.0,
                x + w / 2.0,
                y + h,
                y + h / 2.0,
                x + w,
                y + h / 2.0
            )),
            0.008,
            body.mix(model.roles.light, 0.7),
            1.0,
        );
    }
    model.form(rounded(-0.06, 0.12, 0.17, 0.3, 0.008), accent.darker(0.3));
    model.brush.fill(disc(0.085, 0.28, 0.011), glow, 1.0);
    model.brush.fill(rounded(-0.09, 0.395, 0.23, 0.025, 0.004), body.mix(model.roles.light, 0.4), 1.0);
}
