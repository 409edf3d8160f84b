//! What people wear: watch, ring, shoe, bag.

use super::super::brush::{disc, outline, polygon, rounded};
use super::Model;

/// A wrist watch from the front, hands at ten past ten as every advertisement has them.
pub fn watch(model: &mut Model<'_>) {
    let (metal, dark, accent) = (model.metal(), model.dark(), model.roles.accent);
    let strap = model.roles.body.mix(dark, 0.35);
    model.form(
        outline(
            "M -0.15 -0.22 C -0.15 -0.34 -0.13 -0.44 -0.115 -0.5 L 0.115 -0.5 C 0.13 -0.44 0.15 -0.34 0.15 -0.22 Z",
        ),
        strap,
    );
    model.form(
        outline("M -0.15 0.22 C -0.15 0.34 -0.13 0.44 -0.115 0.5 L 0.115 0.5 C 0.13 0.44 0.15 0.34 0.15 0.22 Z"),
        strap,
    );
    for y in [-0.44, -0.39, -0.34, 0.34, 0.39, 0.44] {
        model.brush.line(outline(&format!("M -0.1 {y} L 0.1 {y}")), 0.004, dark, 0.35);
    }
    model.shiny(rounded(0.235, -0.035, 0.045, 0.07, 0.014), metal);
    model.shiny(disc(0.0, 0.0, 0.25), metal);
    model.form(disc(0.0, 0.0, 0.228), metal.darker(0.5));
    let dial = if model.roles.body.lightness() > 0.55 { model.roles.body.lighter(0.2) } else { model.roles.body };
    let hand = if dial.lightness() > 0.5 { dark } else { metal.lighter(0.5) };
    model.brush.glow(
        disc(0.0, 0.0, 0.21),
        (0.06 * model.side, -0.08),
        0.32,
        &[(0.0, dial.mix(model.roles.light, 0.35), 1.0), (0.6, dial, 1.0), (1.0, dial.darker(0.4), 1.0)],
    );
    for hour in 0u8..12 {
        let (sin, cos) = (f32::from(hour) * std::f32::consts::TAU / 12.0).sin_cos();
        let (inner, width) = if hour % 3 == 0 { (0.155, 0.013) } else { (0.175, 0.007) };
        let mark = format!("M {} {} L {} {}", sin * inner, -cos * inner, sin * 0.192, -cos * 0.192);
        model.brush.line(outline(&mark), width, hand, 0.95);
    }
    model.brush.line(disc(0.0, 0.085, 0.05), 0.005, hand, 0.5);
    model.brush.line(outline("M 0 0.085 L 0.025 0.06"), 0.005, accent, 1.0);
    model.brush.line(outline("M 0.012 0.012 L -0.098 -0.088"), 0.017, hand, 1.0);
    model.brush.line(outline("M -0.014 0.01 L 0.128 -0.098"), 0.012, hand, 1.0);
    model.brush.line(outline("M -0.01 -0.045 L 0.03 0.15"), 0.005, accent, 1.0);
    model.brush.fill(disc(0.0, 0.0, 0.014), accent, 1.0);
    model.brush.fill(
        outline("M -0.19 -0.1 C -0.13 -0.2 0 -0.235 0.09 -0.19 C -0.02 -0.16 -0.12 -0.08 -0.16 0.02 C -0.19 -0.01 -0.2 -0.06 -0.19 -0.1 Z"),
        model.roles.light,
        0.2,
    );
}

/// A ring with a cut stone.
pub fn ring(model: &mut Model<'_>) {
    let metal = model.metal().mix(model.roles.accent, 0.3);
    let stone = model.roles.second.mix(model.roles.light, 0.62);
    // Even-odd filling leaves the finger's hole open.
    let band = outline(
        "M 0 -0.24 C 0.215 -0.24 0.38 -0.07 0.38 0.135 C 0.38 0.34 0.215 0.5 0 0.5 C -0.215 0.5 -0.38 0.34 -0.38 0.135 C -0.38 -0.07 -0.215 -0.24 0 -0.24 Z \
         M 0 -0.17 C 0.17 -0.17 0.305 -0.035 0.305 0.135 C 0.305 0.305 0.17 0.44 0 0.44 C -0.17 0.44 -0.305 0.305 -0.305 0.135 C -0.305 -0.035 -0.17 -0.17 0 -0.17 Z",
    );
    model.shiny(band, metal);
    model.shiny(outline("M -0.12 -0.2 L 0.12 -0.2 L 0.06 -0.13 L -0.06 -0.13 Z"), metal);
    let facets: [(&[(f32, f32)], f32); 6] = [
        (&[(-0.12, -0.5), (0.12, -0.5), (0.0, -0.41)], 0.7),
        (&[(-0.12, -0.5), (-0.22, -0.4), (0.0, -0.41)], 0.35),
        (&[(0.12, -0.5), (0.22, -0.4), (0.0, -0.41)], 0.1),
        (&[(-0.22, -0.4), (0.0, -0.41), (0.0, -0.15)], 0.5),
        (&[(0.22, -0.4), (0.0, -0.41), (0.0, -0.15)], -0.25),
        (&[(-0.22, -0.4), (-0.09, -0.4), (0.0, -0.15)], 0.05),
    ];
    for (points, light) in facets {
        let tone = if light > 0.0 { stone.lighter(light) } else { stone.darker(-light) };
        let turned: Vec<_> = points.iter().map(|(x, y)| (-x * model.side, *y)).collect();
        model.brush.fill(polygon(&turned), tone, 1.0);
    }
    model.brush.line(
        outline("M -0.12 -0.5 L 0.12 -0.5 L 0.22 -0.4 L 0 -0.15 L -0.22 -0.4 Z M -0.22 -0.4 L 0.22 -0.4 M -0.12 -0.5 L -0.07 -0.4 L 0 -0.15 L 0.07 -0.4 L 0.12 -0.5"),
        0.005,
        model.roles.light,
        0.7,
    );
    let (x, y) = (0.1 * model.side, -0.44);
    model.brush.halo((x, y), 0.14, model.roles.light, 0.6);
    let (long, thin) = (0.1, 0.007);
    let spark = [
        (x - long, y),
        (x - thin, y - thin),
        (x, y - long),
        (x + thin, y - thin),
        (x + long, y),
        (x + thin, y + thin),
        (x, y + long),
        (x - thin, y + thin),
    ];
    model.brush.fill(polygon(&spark), model.roles.light.lighter(0.6), 0.95);
}

/// A sneaker from the side, toe to the right.
pub fn shoe(model: &mut Model<'_>) {
    let (body, accent, dark) = (model.roles.body, model.roles.accent, model.dark());
    let sole = body.mix(model.roles.light, 0.7).with_lightness_within(0.72, 0.97);
    let upper = outline(
        "M -0.46 0.16 C -0.49 0.02 -0.47 -0.12 -0.44 -0.24 C -0.42 -0.29 -0.36 -0.29 -0.33 -0.25 C -0.28 -0.19 -0.2 -0.19 -0.14 -0.26 C -0.12 -0.29 -0.07 -0.29 -0.05 -0.26 C 0.03 -0.14 0.13 -0.05 0.27 -0.01 C 0.4 0.02 0.48 0.07 0.49 0.16 Z",
    );
    model.form(upper, body);
    model.brush.fill(
        outline("M -0.46 0.16 C -0.485 0.06 -0.48 -0.04 -0.465 -0.13 C -0.4 -0.06 -0.33 -0.02 -0.26 0.16 Z"),
        accent,
        0.95,
    );
    model.brush.fill(
        outline("M 0.26 0.16 C 0.27 0.08 0.33 0.03 0.4 0.035 C 0.46 0.06 0.485 0.1 0.49 0.16 Z"),
        accent.darker(0.2),
        0.95,
    );
    model.brush.fill(
        outline("M -0.2 0.12 C -0.05 0.1 0.05 0.02 0.1 -0.07 L 0.16 -0.045 C 0.1 0.07 -0.02 0.14 -0.16 0.16 Z"),
        sole,
        0.9,
    );
    model.brush.fill(outline("M -0.33 -0.25 C -0.28 -0.19 -0.2 -0.19 -0.14 -0.26 C -0.13 -0.22 -0.18 -0.13 -0.24 -0.13 C -0.3 -0.14 -0.33 -0.2 -0.33 -0.25 Z"), dark, 0.85);
    for step in 0u8..5 {
        let t = f32::from(step) / 4.0;
        let (x, y) = (-0.07 + 0.24 * t, -0.215 + 0.175 * t);
        let lace = format!("M {x} {y} L {} {}", x - 0.085, y + 0.055);
        model.brush.line(outline(&lace), 0.019, sole, 1.0);
    }
    model.brush.line(outline("M -0.44 -0.24 C -0.465 -0.12 -0.47 0 -0.455 0.1"), 0.008, dark, 0.4);
    let shape = outline(
        "M -0.47 0.145 C -0.2 0.155 0.2 0.155 0.49 0.14 C 0.51 0.17 0.505 0.23 0.46 0.27 C 0.42 0.29 0.36 0.275 0.3 0.27 L -0.42 0.29 C -0.48 0.29 -0.5 0.2 -0.47 0.15 Z",
    );
    model.brush.fade(
        shape,
        (0.0, 0.14),
        (0.0, 0.3),
        &[(0.0, sole, 1.0), (0.6, sole.darker(0.12), 1.0), (1.0, sole.darker(0.42), 1.0)],
    );
    model.brush.line(outline("M -0.47 0.235 C -0.2 0.25 0.2 0.25 0.49 0.215"), 0.012, accent, 0.95);
}

/// A bag with two handles.
pub fn bag(model: &mut Model<'_>) {
    let (body, metal, dark) = (model.roles.body, model.metal(), model.dark());
    let leather = body.darker(0.25);
    model.brush.line(
        outline("M -0.17 -0.08 C -0.2 -0.42 -0.12 -0.47 0 -0.47 C 0.12 -0.47 0.2 -0.42 0.17 -0.08"),
        0.035,
        leather.darker(0.3),
        1.0,
    );
    model.form(outline("M -0.32 -0.12 L 0.32 -0.12 C 0.36 0.1 0.39 0.3 0.4 0.44 C 0.4 0.48 0.38 0.5 0.34 0.5 L -0.34 0.5 C -0.38 0.5 -0.4 0.48 -0.4 0.44 C -0.39 0.3 -0.36 0.1 -0.32 -0.12 Z"), body);
    model.form(outline("M -0.32 -0.12 L 0.32 -0.12 C 0.335 -0.03 0.34 0.04 0.345 0.08 C 0.2 0.2 -0.2 0.2 -0.345 0.08 C -0.34 0.04 -0.335 -0.03 -0.32 -0.12 Z"), body.mix(dark, 0.22));
    model.brush.line(outline("M -0.36 0.42 C -0.1 0.44 0.1 0.44 0.36 0.42"), 0.005, dark, 0.45);
    model.brush.line(
        outline("M -0.13 0 C -0.16 -0.36 -0.1 -0.42 0 -0.42 C 0.1 -0.42 0.16 -0.36 0.13 0"),
        0.034,
        leather,
        1.0,
    );
    model.brush.line(outline("M -0.115 0 C -0.145 -0.34 -0.09 -0.405 0 -0.405"), 0.007, model.roles.light, 0.3);
    for x in [-0.13, 0.13] {
        model.shiny(disc(x, 0.01, 0.027), metal);
    }
    model.shiny(rounded(-0.055, 0.1, 0.11, 0.11, 0.02), metal.mix(model.roles.accent, 0.45));
    model.brush.fill(disc(0.0, 0.155, 0.02), dark, 0.8);
}
