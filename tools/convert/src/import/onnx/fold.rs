//! Operators on constants, and the shapes that exporters compute: what comes out is a constant too.

use super::build::Builder;
use super::op::{Op, Value};
use super::size::Size;
use super::tensor::{Data, Tensor, along, positions, reorder};
use super::{Fault, fault, glue, slice};

const AGAIN: &str = "export the model with a fixed number of steps, or with constants folded";

fn unclear(what: &str) -> Fault {
    fault(format!("it computes {what} that cannot be followed"), AGAIN)
}

/// The constant that an operator yields; none if it is not one.
pub(super) fn fold(builder: &mut Builder, op: &Op) -> Result<Option<Tensor>, Fault> {
    match op.kind() {
        "Constant" => return constant(op).map(Some),
        "Shape" => return shape(op),
        _ => {}
    }
    let tensors: Option<Vec<Option<&Tensor>>> = op
        .inputs
        .iter()
        .map(|i| match i {
            None => Some(None),
            Some(Value::Tensor(t)) => Some(Some(&**t)),
            Some(_) => None,
        })
        .collect();
    let Some(inputs) = tensors else { return Ok(None) };
    let Some(&Some(first)) = inputs.first() else { return Ok(None) };
    let total = inputs.iter().flatten().try_fold(0usize, |n, t| n.checked_add(t.len()));
    builder.spend(total)?;
    let second = inputs.get(1).copied().flatten();
    Ok(Some(match op.kind() {
        "Identity" | "Dropout" => first.clone(),
        "Cast" => cast(op, first),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Equal" | "Less" | "Greater" => {
            let second = second.ok_or_else(|| unclear("a number"))?;
            binary(builder, op.kind(), first, second)?
        }
        "Neg" | "Sqrt" | "Reciprocal" | "Not" | "Floor" | "Ceil" => unary(op.kind(), first)?,
        "Where" => {
            let third = inputs.get(2).copied().flatten();
            let (Some(a), Some(b)) = (second, third) else { return Err(unclear("a choice")) };
            choose(builder, first, a, b)?
        }
        "ReduceProd" => product(op, first)?,
        "ConstantOfShape" => {
            let value = op.tensor_attribute("value").transpose()?;
            let value = value.unwrap_or_else(|| Tensor::floats(vec![Size::of(1)], vec![0.0]));
            filled(builder, &value, first.sizes().ok_or_else(|| unclear("a shape"))?)?
        }
        "Expand" => {
            let shape = second.and_then(Tensor::sizes).ok_or_else(|| unclear("a shape"))?;
            filled(builder, first, shape)?
        }
        "Range" => range(builder, &inputs)?,
        "Transpose" => {
            let order = glue::order(op, first.dims.len())?;
            let dims = order.iter().map(|&k| first.dims[k]).collect();
            moved(first, dims, &reorder(&first.stored(), &order))?
        }
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            let dims = glue::target(op, &first.dims)?;
            let same = dims.iter().map(|d| d.stored()).try_fold(1usize, usize::checked_mul) == Some(first.len());
            if !same {
                return Err(unclear("a shape"));
            }
            Tensor { dims, data: first.data.clone() }
        }
        "Concat" => concat(op, &inputs)?,
        "Slice" => {
            let mut out = first.clone();
            for (axis, range) in slice::slices(op, &first.dims)? {
                let at = range.of(out.dims[axis]).ok_or_else(|| unclear("a slice"))?;
                let mut dims = out.dims.clone();
                dims[axis] = Size::of(at.len() as i64);
                out = moved(&out, dims, &along(&out.stored(), axis, &at))?;
            }
            out
        }
        "Gather" => gather(builder, op, first, second.ok_or_else(|| unclear("an index"))?)?,
        _ => return Ok(None),
    }))
}

fn moved(t: &Tensor, dims: Vec<Size>, at: &[usize]) -> Result<Tensor, Fault> {
    t.pick(dims, at).ok_or_else(|| unclear("an index"))
}

fn constant(op: &Op) -> Result<Tensor, Fault> {
    if let Some(tensor) = op.tensor_attribute("value") {
        return tensor;
    }
    let sized = |n: usize| vec![Size::of(n as i64)];
    if let Some(v) = op.float("value_float") {
        return Ok(Tensor::floats(Vec::new(), vec![v.into()]));
    }
    if let Some(v) = op.int("value_int") {
        return Ok(Tensor { dims: Vec::new(), data: Data::Ints(vec![Size::of(v)]) });
    }
    if op.has("value_floats") {
        let v: Vec<f64> = op.floats("value_floats").unwrap_or(&[]).iter().map(|&v| v.into()).collect();
        return Ok(Tensor::floats(sized(v.len()), v));
    }
    if op.has("value_ints") {
        return Ok(Tensor::list(op.ints("value_ints").unwrap_or(&[]).iter().map(|&v| Size::of(v)).collect()));
    }
    Err(fault("its value is neither numbers nor a tensor", "export the model again"))
}

/// The lengths of a value's axes, or of some of them.
fn shape(op: &Op) -> Result<Option<Tensor>, Fault> {
    let sizes: Option<Vec<Size>> = match op.input(0) {
        Some(Value::Tensor(t)) => Some(t.dims.clone()),
        Some(Value::Signal(s)) => s.axes.iter().map(super::signal::Axis::size).collect(),
        Some(Value::Norm(_)) => None,
        // Of a state it is the batch that is asked for.
        Some(Value::Foreign(what, _)) => return Err(super::op::foreign(what)),
        None => return Err(fault("its input is missing", "export the model again")),
    };
    let sizes = sizes.ok_or_else(|| unclear("a shape"))?;
    let rank = sizes.len() as i64;
    let bound = |v: i64| if v < 0 { v.saturating_add(rank) } else { v }.clamp(0, rank) as usize;
    let (start, end) = (bound(op.int("start").unwrap_or(0)), bound(op.int("end").unwrap_or(rank)));
    Ok(Some(Tensor::list(sizes.get(start..end).unwrap_or(&[]).to_vec())))
}

fn cast(op: &Op, t: &Tensor) -> Tensor {
    let floats = matches!(op.int("to"), Some(1 | 10 | 11 | 16));
    let data = match (&t.data, floats) {
        (Data::Ints(_), true) => match t.to_floats() {
            Some(v) => Data::Floats(v),
            // A size that is not known stays one.
            None => t.data.clone(),
        },
        (Data::Floats(v), false) => Data::Ints(v.iter().map(|&v| Size::of(v as i64)).collect()),
        (data, _) => data.clone(),
    };
    let data = match (op.int("to"), data) {
        (Some(9), Data::Ints(v)) => Data::Ints(v.iter().map(|&n| Size::of(i64::from(n != Size::of(0)))).collect()),
        (_, data) => data,
    };
    Tensor { dims: t.dims.clone(), data }
}

/// The shape of a broadcast, and for each of two shapes the positions of its elements in it.
fn broadcast(builder: &mut Builder, a: &[Size], b: &[Size]) -> Result<(Vec<Size>, [Vec<usize>; 2]), Fault> {
    let rank = a.len().max(b.len());
    let pad = |s: &[Size]| [vec![Size::of(1); rank - s.len()], s.to_vec()].concat();
    let (a, b) = (pad(a), pad(b));
    let mut dims = Vec::new();
    for (&x, &y) in a.iter().zip(&b) {
        dims.push(match (x == Size::of(1), y == Size::of(1)) {
            (true, _) => y,
            (_, true) => x,
            _ if x == y => x,
            _ => return Err(unclear("a shape")),
        });
    }
    // Two lists of positions, and three numbers for an integer.
    builder.spend(dims.iter().map(|d| d.stored()).try_fold(4usize, usize::checked_mul))?;
    let walk = |own: &[Size]| {
        let mut stride = 1usize;
        let mut axes: Vec<(usize, usize)> = own
            .iter()
            .zip(&dims)
            .rev()
            .map(|(n, d)| {
                let step = if n.stored() == d.stored() { stride } else { 0 };
                stride = stride.wrapping_mul(n.stored());
                (d.stored(), step)
            })
            .collect();
        axes.reverse();
        positions(&axes)
    };
    let at = [walk(&a), walk(&b)];
    Ok((dims, at))
}

fn binary(builder: &mut Builder, kind: &str, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
    let (dims, [at, bt]) = broadcast(builder, &a.dims, &b.dims)?;
    let (a, b) = (moved(a, dims.clone(), &at)?, moved(b, dims.clone(), &bt)?);
    if let (Data::Ints(a), Data::Ints(b)) = (&a.data, &b.data) {
        let order = |x: Size, y: Size| Some(x.known()?.cmp(&y.known()?));
        let one = |(&x, &y): (&Size, &Size)| match kind {
            "Add" => x.plus(y),
            "Sub" => x.minus(y),
            "Mul" => x.times(y),
            "Div" => x.over(y).or_else(|| Some(Size::of(x.known()?.checked_div(y.known()?)?))),
            // A size that is not known is none of the marks, such as -1, that exporters compare it with.
            "Equal" => Some(Size::of((x == y).into())),
            "Less" => Some(Size::of(order(x, y)?.is_lt().into())),
            "Greater" => Some(Size::of(order(x, y)?.is_gt().into())),
            "Min" => {
                if x == y {
                    Some(x)
                } else {
                    Some(if order(x, y)?.is_lt() { x } else { y })
                }
            }
            "Max" => {
                if x == y {
                    Some(x)
                } else {
                    Some(if order(x, y)?.is_gt() { x } else { y })
                }
            }
            _ => None,
        };
        let data: Option<Vec<Size>> = a.iter().zip(b).map(one).collect();
        return Ok(Tensor { dims, data: Data::Ints(data.ok_or_else(|| unclear("a number"))?) });
    }
    let (Some(a), Some(b)) = (a.to_floats(), b.to_floats()) else { return Err(unclear("a number")) };
    let pairs = a.iter().zip(&b);
    let truth = |f: fn(&f64, &f64) -> bool| Data::Ints(pairs.clone().map(|(x, y)| Size::of(f(x, y).into())).collect());
    let number = |f: fn(f64, f64) -> f64| Data::Floats(pairs.clone().map(|(&x, &y)| f(x, y)).collect());
    let data = match kind {
        "Add" => number(|x, y| x + y),
        "Sub" => number(|x, y| x - y),
        "Mul" => number(|x, y| x * y),
        "Div" => number(|x, y| x / y),
        "Pow" => number(f64::powf),
        "Min" => number(f64::min),
        "Max" => number(f64::max),
        "Equal" => truth(|x, y| x - y == 0.0),
        "Less" => truth(|x, y| x < y),
        _ => truth(|x, y| x > y),
    };
    Ok(Tensor { dims, data })
}

fn unary(kind: &str, t: &Tensor) -> Result<Tensor, Fault> {
    let data = match (&t.data, kind) {
        (Data::Ints(v), "Neg") => Data::Ints(
            v.iter().map(|n| n.times(Size::of(-1))).collect::<Option<_>>().ok_or_else(|| unclear("a number"))?,
        ),
        (Data::Ints(v), "Not") => Data::Ints(v.iter().map(|&n| Size::of((n == Size::of(0)).into())).collect()),
        (_, "Not") => return Err(unclear("a truth value")),
        _ => {
            let v = t.to_floats().ok_or_else(|| unclear("a number"))?;
            let f = match kind {
                "Neg" => |v: f64| -v,
                "Sqrt" => f64::sqrt,
                "Floor" => f64::floor,
                "Ceil" => f64::ceil,
                _ => f64::recip,
            };
            Data::Floats(v.into_iter().map(f).collect())
        }
    };
    Ok(Tensor { dims: t.dims.clone(), data })
}

fn choose(builder: &mut Builder, which: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor, Fault> {
    let (dims, [at, bt]) = broadcast(builder, &a.dims, &b.dims)?;
    let (dims, [both, wt]) = broadcast(builder, &dims, &which.dims)?;
    let from = |at: &[usize]| both.iter().map(|&k| at[k]).collect::<Vec<_>>();
    let a = moved(a, dims.clone(), &from(&at))?;
    let b = moved(b, dims.clone(), &from(&bt))?;
    let which = moved(which, dims.clone(), &wt)?.ints().ok_or_else(|| unclear("a choice"))?;
    let data = match (a.data, b.data) {
        (Data::Ints(a), Data::Ints(b)) => {
            Data::Ints(which.iter().zip(a.iter().zip(&b)).map(|(&w, (&a, &b))| if w == 0 { b } else { a }).collect())
        }
        (Data::Floats(a), Data::Floats(b)) => {
            Data::Floats(which.iter().zip(a.iter().zip(&b)).map(|(&w, (&a, &b))| if w == 0 { b } else { a }).collect())
        }
        _ => return Err(unclear("a choice")),
    };
    Ok(Tensor { dims, data })
}

/// The product of a list of sizes.
fn product(op: &Op, t: &Tensor) -> Result<Tensor, Fault> {
    let sizes = t.sizes().filter(|_| t.dims.len() <= 1).ok_or_else(|| unclear("a product"))?;
    let product = sizes.iter().try_fold(Size::of(1), |p, &n| p.times(n)).ok_or_else(|| unclear("a product"))?;
    let dims = if op.int("keepdims") == Some(0) { Vec::new() } else { vec![Size::of(1); t.dims.len()] };
    Ok(Tensor { dims, data: Data::Ints(vec![product]) })
}

/// A constant of a shape, by repetition.
fn filled(builder: &mut Builder, t: &Tensor, shape: &[Size]) -> Result<Tensor, Fault> {
    if shape.iter().any(|d| d.known().is_some_and(|n| n < 0)) || shape.len() > 16 {
        return Err(unclear("a shape"));
    }
    let (dims, [at, _]) = broadcast(builder, &t.dims, shape)?;
    moved(t, dims, &at)
}

fn range(builder: &mut Builder, inputs: &[Option<&Tensor>]) -> Result<Tensor, Fault> {
    let ints: Option<Vec<i64>> = inputs.iter().map(|t| t.and_then(Tensor::ints)?.first().copied()).collect();
    let Some([start, end, step]) = ints.as_deref().and_then(|v| <[i64; 3]>::try_from(v).ok()).filter(|v| v[2] != 0)
    else {
        return Err(unclear("a range"));
    };
    let count = (i128::from(end) - i128::from(start)).div_euclid(i128::from(step)).max(0);
    builder.spend(usize::try_from(count).ok().and_then(|n| n.checked_mul(3)))?;
    let all = (0..=count as i64).map(|k| start.saturating_add(k.saturating_mul(step)));
    let within = all.filter(|&v| if step > 0 { v < end } else { v > end });
    Ok(Tensor::list(within.map(Size::of).collect()))
}

fn concat(op: &Op, inputs: &[Option<&Tensor>]) -> Result<Tensor, Fault> {
    let parts: Vec<&Tensor> = inputs.iter().copied().flatten().collect();
    let first = parts.first().ok_or_else(|| unclear("a list"))?;
    let axis = Op::axis(op.int("axis").unwrap_or(0), first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[axis] = Size::of(0);
    for part in &parts {
        let mut own = part.dims.clone();
        let length = own.get(axis).copied().filter(|n| n.known().is_some()).ok_or_else(|| unclear("a list"))?;
        own[axis] = dims[axis];
        if own != dims {
            return Err(unclear("a list"));
        }
        dims[axis] = dims[axis].plus(length).ok_or_else(|| unclear("a list"))?;
    }
    let outer = first.stored()[..axis].iter().fold(1usize, |n, &length| n.saturating_mul(length));
    let ints: Option<Vec<&[Size]>> = parts.iter().map(|p| p.sizes()).collect();
    let data = if let Some(ints) = ints {
        Data::Ints(join(outer, &ints))
    } else {
        let floats: Option<Vec<Vec<f64>>> = parts.iter().map(|p| p.to_floats()).collect();
        let floats = floats.ok_or_else(|| unclear("a list"))?;
        Data::Floats(join(outer, &floats.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    };
    Ok(Tensor { dims, data })
}

/// Arrays of `outer` rows side by side.
fn join<T: Copy>(outer: usize, parts: &[&[T]]) -> Vec<T> {
    let row = |o: usize| {
        parts.iter().flat_map(move |p| {
            let span = p.len() / outer.max(1);
            p[o * span..][..span].iter().copied()
        })
    };
    // There may be any number of empty rows.
    (0..if parts.iter().all(|p| p.is_empty()) { 0 } else { outer }).flat_map(row).collect()
}

fn gather(builder: &mut Builder, op: &Op, t: &Tensor, indices: &Tensor) -> Result<Tensor, Fault> {
    let axis = Op::axis(op.int("axis").unwrap_or(0), t.dims.len())?;
    let length = t.dims[axis].known().ok_or_else(|| unclear("an index"))?;
    let index =
        |i: i64| usize::try_from(if i < 0 { i.checked_add(length)? } else { i }).ok().filter(|&i| i < length as usize);
    let at: Option<Vec<usize>> = indices.ints().and_then(|v| v.into_iter().map(index).collect());
    let at = at.ok_or_else(|| unclear("an index"))?;
    let dims = [&t.dims[..axis], &indices.dims, &t.dims[axis + 1..]].concat();
    builder.spend((t.len() / (length as usize).max(1)).checked_mul(at.len()))?;
    moved(t, dims, &along(&t.stored(), axis, &at))
}
