//! What runs on electricity: phone, laptop, headphones.

use super::super::brush::{disc, outline, oval, rounded};
use super::Model;

/// A telephone with something on its screen.
pub fn phone(model: &mut Model<'_>) {
    let (accent, second, dark) = (model.roles.accent, model.roles.second, model.dark());
    let metal = model.metal();
    model.shiny(rounded(-0.25, -0.5, 0.5, 1.0, 0.075), metal);
    model.brush.fill(rounded(-0.238, -0.488, 0.476, 0.976, 0.066), dark.darker(0.4), 1.0);
    let screen = rounded(-0.222, -0.472, 0.444, 0.944, 0.054);
    model.brush.fade(
        screen,
        (-0.2, -0.47),
        (0.2, 0.47),
        &[(0.0, accent.lighter(0.25), 1.0), (0.5, accent.mix(second, 0.5), 1.0), (1.0, second.darker(0.35), 1.0)],
    );
    let light = model.roles.light.lighter(0.5);
    model.brush.fill(disc(0.05, -0.12, 0.145), light, 0.22);
    model.brush.fill(disc(-0.06, -0.02, 0.2), light, 0.14);
    model.brush.fill(rounded(-0.175, -0.39, 0.2, 0.034, 0.017), light, 0.9);
    model.brush.fill(rounded(-0.175, -0.335, 0.13, 0.02, 0.01), light, 0.55);
    model.brush.fill(rounded(-0.18, 0.14, 0.36, 0.12, 0.03), light, 0.88);
    model.brush.fill(disc(-0.12, 0.2, 0.034), accent, 1.0);
    model.brush.fill(rounded(-0.065, 0.175, 0.18, 0.019, 0.009), dark, 0.7);
    model.brush.fill(rounded(-0.065, 0.21, 0.12, 0.015, 0.007), dark, 0.4);
    model.brush.fill(rounded(-0.18, 0.285, 0.17, 0.1, 0.026), light, 0.5);
    model.brush.fill(rounded(0.01, 0.285, 0.17, 0.1, 0.026), light, 0.5);
    model.brush.fill(rounded(-0.055, -0.455, 0.11, 0.03, 0.015), dark.darker(0.5), 1.0);
    model.brush.fill(rounded(-0.07, 0.437, 0.14, 0.01, 0.005), light, 0.8);
    model.brush.fill(outline("M -0.222 -0.42 L 0.06 -0.472 L 0.17 -0.472 L -0.222 0.12 Z"), light, 0.09);
}

/// A notebook computer, open.
pub fn laptop(model: &mut Model<'_>) {
    let (accent, second, dark) = (model.roles.accent, model.roles.second, model.dark());
    let metal = model.metal();
    model.shiny(rounded(-0.39, -0.33, 0.78, 0.55, 0.03), metal.darker(0.25));
    model.brush.fill(rounded(-0.38, -0.32, 0.76, 0.53, 0.024), dark.darker(0.3), 1.0);
    let screen = rounded(-0.36, -0.298, 0.72, 0.475, 0.01);
    model.brush.fade(
        screen,
        (-0.36, -0.3),
        (0.36, 0.2),
        &[(0.0, second.mix(dark, 0.72), 1.0), (1.0, accent.mix(dark, 0.55), 1.0)],
    );
    let light = model.roles.light.lighter(0.5);
    model.brush.fill(rounded(-0.345, -0.283, 0.11, 0.445, 0.012), light, 0.12);
    for (y, width) in [(-0.25, 0.07), (-0.2, 0.05), (-0.15, 0.06), (-0.1, 0.045)] {
        model.brush.fill(rounded(-0.325, y, width, 0.018, 0.009), light, 0.6);
    }
    for (x, tone) in [(-0.215, accent), (-0.025, second), (0.165, accent.lighter(0.4))] {
        model.brush.fill(rounded(x, -0.27, 0.175, 0.12, 0.014), light, 0.14);
        model.brush.fill(rounded(x + 0.02, -0.245, 0.06, 0.018, 0.009), light, 0.55);
        model.brush.fill(rounded(x + 0.02, -0.21, 0.1, 0.034, 0.01), tone, 1.0);
    }
    model.brush.fill(rounded(-0.215, -0.13, 0.555, 0.285, 0.014), light, 0.1);
    let curve =
        "M -0.195 0.1 C -0.12 0.08 -0.1 0 -0.03 0.01 C 0.05 0.02 0.06 -0.06 0.13 -0.05 C 0.2 -0.04 0.22 -0.1 0.32 -0.1";
    model.brush.fade(
        outline(&format!("{curve} L 0.32 0.14 L -0.195 0.14 Z")),
        (0.0, -0.1),
        (0.0, 0.14),
        &[(0.0, accent, 0.65), (1.0, accent, 0.0)],
    );
    model.brush.line(outline(curve), 0.011, accent.lighter(0.35), 1.0);
    model.shiny(outline("M -0.42 0.22 L 0.42 0.22 L 0.5 0.3 L -0.5 0.3 Z"), metal.lighter(0.12));
    model.brush.fill(outline("M -0.36 0.228 L 0.36 0.228 L 0.39 0.268 L -0.39 0.268 Z"), dark, 0.55);
    model.brush.fill(outline("M -0.08 0.274 L 0.08 0.274 L 0.09 0.294 L -0.09 0.294 Z"), dark, 0.3);
    model.shiny(
        outline("M -0.5 0.3 L 0.5 0.3 C 0.5 0.32 0.48 0.33 0.46 0.33 L -0.46 0.33 C -0.48 0.33 -0.5 0.32 -0.5 0.3 Z"),
        metal.darker(0.2),
    );
}

/// Headphones from the front.
pub fn headphones(model: &mut Model<'_>) {
    let (body, accent, metal, dark) = (model.roles.body, model.roles.accent, model.metal(), model.dark());
    model.brush.line(outline("M -0.33 0.12 C -0.4 -0.62 0.4 -0.62 0.33 0.12"), 0.075, body.darker(0.35), 1.0);
    model.brush.line(outline("M -0.33 0.12 C -0.4 -0.62 0.4 -0.62 0.33 0.12"), 0.05, body, 1.0);
    model.brush.line(outline("M -0.27 -0.3 C -0.14 -0.45 0.14 -0.45 0.27 -0.3"), 0.03, model.roles.light, 0.28);
    for side in [-1.0_f32, 1.0] {
        let x = |v: f32| v * side;
        model.shiny(rounded(x(0.335) - 0.025, -0.12, 0.05, 0.22, 0.012), metal);
        let (left, width) = (x(0.26).min(x(0.17)), 0.09);
        model.form(rounded(left, 0.04, width, 0.42, 0.045), dark.lighter(0.12));
        model.form(oval(x(0.335), 0.25, 0.1, 0.245), body);
        model.form(oval(x(0.362), 0.25, 0.062, 0.18), body.darker(0.28));
        model.brush.line(oval(x(0.362), 0.25, 0.062, 0.18), 0.008, accent, 0.95);
        model.brush.fill(disc(x(0.368), 0.25, 0.018), accent.lighter(0.2), 1.0);
    }
}
