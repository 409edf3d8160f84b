//! PURE: which frame stands for a film.
//!
//! Candidates are spread over the film, away from fades at its ends. Small copies of them are judged: not too dark or bright,
//! with contrast, detail and colour; of equals, one from the first half wins, because endings give things away.

/// Width of the copies that are judged, in pixels.
pub const WIDTH: usize = 96;
/// Height of the copies that are judged, in pixels.
pub const HEIGHT: usize = 54;

/// Moments worth looking at, in seconds.
pub fn candidates(seconds: f64) -> Vec<f64> {
    const COUNT: usize = 12;
    (0..COUNT).map(|n| seconds * (0.06 + 0.84 * n as f64 / (COUNT - 1) as f64)).collect()
}

/// How well a frame would stand for its film; `rgb` is a copy of [`WIDTH`] x [`HEIGHT`], `place` where in the film it is, 0
/// to 1. More is better; a black frame is next to nothing.
pub fn score(rgb: &[u8], place: f64) -> f64 {
    let pixels: Vec<[f64; 3]> = rgb.chunks_exact(3).map(|p| [0, 1, 2].map(|c| f64::from(p[c]) / 255.0)).collect();
    if pixels.len() != WIDTH * HEIGHT {
        return 0.0;
    }
    let count = pixels.len() as f64;
    let luma: Vec<f64> = pixels.iter().map(|[r, g, b]| 0.2126 * r + 0.7152 * g + 0.0722 * b).collect();
    let mean = luma.iter().sum::<f64>() / count;
    let contrast = (luma.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / count).sqrt();
    let steps = luma.chunks_exact(WIDTH).flat_map(|row| row.windows(2).map(|pair| (pair[1] - pair[0]).abs()));
    let detail = steps.sum::<f64>() / count;
    let colour = pixels.iter().map(|p| p.iter().fold(0f64, |m, c| m.max(*c)) - p.iter().fold(1f64, |m, c| m.min(*c)));
    let colour = colour.sum::<f64>() / count;

    let exposure = (-((mean - 0.48) / 0.28).powi(2)).exp();
    let early = 1.0 - 0.25 * (place - 0.35).abs();
    exposure * (contrast + 2.0 * detail + 0.3 * colour) * early
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(pixel: impl Fn(usize, usize) -> [u8; 3]) -> Vec<u8> {
        (0..WIDTH * HEIGHT).flat_map(|n| pixel(n % WIDTH, n / WIDTH)).collect()
    }

    #[test]
    fn a_black_or_white_frame_never_stands_for_a_film() {
        let scene = picture(|x, y| [(x * 2) as u8, (y * 4) as u8, 90]);
        for flat in [0, 255] {
            assert!(score(&picture(|_, _| [flat; 3]), 0.3) < 0.1 * score(&scene, 0.9));
        }
    }

    #[test]
    fn a_scene_beats_the_same_scene_half_faded() {
        let scene = picture(|x, y| [(x * 2) as u8, (y * 4) as u8, if x > 40 { 200 } else { 60 }]);
        let faded: Vec<u8> = scene.iter().map(|v| v / 3).collect();
        assert!(score(&scene, 0.6) > score(&faded, 0.35));
    }

    #[test]
    fn of_equals_the_earlier_wins() {
        let scene = picture(|x, y| [(x * 2) as u8, (y * 4) as u8, 90]);
        assert!(score(&scene, 0.35) > score(&scene, 0.9));
    }

    #[test]
    fn candidates_stay_inside_the_film() {
        assert!(candidates(5.0).iter().all(|at| (0.2..4.7).contains(at)));
        assert_eq!(score(&[1, 2, 3], 0.5), 0.0);
    }
}
