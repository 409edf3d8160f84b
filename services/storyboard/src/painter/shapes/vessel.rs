//! What holds something: flacon, bottle, can, cup.

use super::super::brush::{outline, oval, rounded};
use super::Model;

/// A perfume bottle: thick glass, a tint inside, a heavy stopper.
pub fn flacon(model: &mut Model<'_>) {
    let (accent, metal) = (model.roles.accent, model.metal());
    let glass = model.roles.body.mix(model.roles.light, 0.35);
    model.shiny(rounded(-0.115, -0.5, 0.23, 0.2, 0.03), model.dark().mix(accent, 0.18));
    model.shiny(rounded(-0.075, -0.31, 0.15, 0.07, 0.01), metal);
    model.form(rounded(-0.3, -0.245, 0.6, 0.745, 0.07), glass);
    let inside = rounded(-0.245, -0.17, 0.49, 0.61, 0.045);
    model.brush.fade(
        inside,
        (0.0, -0.17),
        (0.0, 0.44),
        &[(0.0, glass.lighter(0.3), 0.7), (1.0, glass.darker(0.1), 0.8)],
    );
    let liquid = outline(
        "M -0.245 -0.06 L 0.245 -0.06 L 0.245 0.395 C 0.245 0.42 0.225 0.44 0.2 0.44 L -0.2 0.44 C -0.225 0.44 -0.245 0.42 -0.245 0.395 Z",
    );
    model.brush.fade(
        liquid,
        (-0.25 * -model.side, -0.06),
        (0.25 * -model.side, 0.44),
        &[(0.0, accent.mix(model.roles.light, 0.5), 0.92), (0.5, accent, 0.9), (1.0, accent.darker(0.45), 0.95)],
    );
    model.brush.line(outline("M 0 -0.24 L 0 0.38"), 0.012, metal.lighter(0.2), 0.4);
    model.brush.fill(rounded(-0.14, 0.06, 0.28, 0.2, 0.008), model.roles.light, 0.9);
    model.brush.fill(rounded(-0.09, 0.11, 0.18, 0.022, 0.01), model.dark(), 0.85);
    model.brush.fill(rounded(-0.055, 0.165, 0.11, 0.014, 0.007), model.dark(), 0.5);
    let x = if model.side < 0.0 { -0.275 } else { 0.235 };
    model.brush.fill(rounded(x, -0.19, 0.04, 0.62, 0.02), model.roles.light, 0.5);
}

/// A slender bottle with a label.
pub fn bottle(model: &mut Model<'_>) {
    let (body, accent) = (model.roles.body, model.roles.accent);
    let shape = outline(
        "M -0.05 -0.44 L 0.05 -0.44 L 0.055 -0.25 C 0.06 -0.16 0.155 -0.14 0.155 0 L 0.155 0.44 C 0.155 0.48 0.14 0.5 0.11 0.5 L -0.11 0.5 C -0.14 0.5 -0.155 0.48 -0.155 0.44 L -0.155 0 C -0.155 -0.14 -0.06 -0.16 -0.055 -0.25 Z",
    );
    model.shiny(shape, body.mix(accent, 0.25));
    model.shiny(rounded(-0.058, -0.5, 0.116, 0.09, 0.014), accent);
    model.shiny(rounded(-0.055, -0.41, 0.11, 0.12, 0.004), accent.darker(0.25));
    let label = body.mix(model.roles.light, 0.85).with_lightness_within(0.75, 0.98);
    model.form(rounded(-0.155, 0.05, 0.31, 0.3, 0.004), label);
    let dark = model.dark();
    model.brush.fill(rounded(-0.085, 0.11, 0.17, 0.028, 0.006), dark, 0.9);
    model.brush.fill(rounded(-0.055, 0.16, 0.11, 0.014, 0.006), dark, 0.5);
    model.brush.fill(oval(0.0, 0.255, 0.042, 0.042), accent, 0.95);
    let x = if model.side < 0.0 { -0.125 } else { 0.1 };
    model.brush.fill(rounded(x, -0.06, 0.024, 0.5, 0.012), model.roles.light, 0.55);
}

/// A drinks can.
pub fn can(model: &mut Model<'_>) {
    let (body, accent, metal) = (model.roles.body, model.roles.accent, model.metal());
    model.shiny(outline("M -0.2 -0.46 L 0.2 -0.46 L 0.26 -0.37 L 0.26 0.4 L 0.2 0.47 C 0.1 0.51 -0.1 0.51 -0.2 0.47 L -0.26 0.4 L -0.26 -0.37 Z"), metal);
    model.shiny(outline("M -0.26 -0.37 L 0.26 -0.37 L 0.26 0.4 C 0.12 0.45 -0.12 0.45 -0.26 0.4 Z"), body);
    model.brush.fill(outline("M -0.26 0.12 L 0.26 -0.2 L 0.26 0.04 L -0.26 0.34 Z"), accent, 0.92);
    model.brush.fill(
        outline("M -0.26 0.38 L -0.05 0.25 L -0.05 0.43 C -0.13 0.43 -0.2 0.415 -0.26 0.4 Z"),
        accent.darker(0.25),
        0.7,
    );
    let bolt = outline("M 0.04 -0.3 L -0.12 0.02 L -0.01 0.02 L -0.06 0.28 L 0.13 -0.08 L 0.015 -0.08 Z");
    model.brush.fill(bolt, body.mix(model.roles.light, 0.9), 0.96);
    model.shiny(oval(0.0, -0.46, 0.2, 0.035), metal.lighter(0.2));
    model.brush.fill(oval(0.0, -0.463, 0.165, 0.023), metal.darker(0.4), 0.8);
    let x = if model.side < 0.0 { -0.2 } else { 0.16 };
    model.brush.fill(rounded(x, -0.34, 0.035, 0.72, 0.017), model.roles.light, 0.42);
}

/// A cup on its saucer, steaming.
pub fn cup(model: &mut Model<'_>) {
    let body = model.roles.body;
    let coffee = model.roles.accent.mix(model.dark(), 0.6);
    model.form(oval(0.0, 0.355, 0.5, 0.065), body.darker(0.1));
    model.form(oval(0.0, 0.34, 0.28, 0.035), body.darker(0.3));
    model.brush.line(outline("M 0.27 -0.02 C 0.5 -0.06 0.48 0.2 0.2 0.22"), 0.05, body.darker(0.22), 1.0);
    model.form(
        outline("M -0.33 -0.1 C -0.33 0.18 -0.24 0.36 -0.12 0.36 L 0.12 0.36 C 0.24 0.36 0.33 0.18 0.33 -0.1 Z"),
        body,
    );
    model.form(oval(0.0, -0.1, 0.33, 0.065), body.mix(model.roles.light, 0.3));
    model.brush.fill(oval(0.0, -0.092, 0.295, 0.048), coffee, 1.0);
    model.brush.fill(oval(-0.05, -0.095, 0.16, 0.022), coffee.lighter(0.5), 0.55);
    for (x, sway, alpha) in [(-0.1, 0.06, 0.32), (0.02, -0.06, 0.42), (0.13, 0.05, 0.28)] {
        let steam = format!(
            "M {x} -0.15 C {} -0.22 {} -0.28 {x} -0.34 C {} -0.38 {} -0.4 {x} -0.42",
            x + sway,
            x - sway,
            x + sway * 0.7,
            x + sway * 0.3
        );
        model.brush.line(outline(&steam), 0.022, model.roles.light, alpha);
    }
}
