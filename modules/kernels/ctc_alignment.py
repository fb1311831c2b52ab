"""Connectionist temporal classification on one thread of a CPU: losses and their gradients.

Graves, Fernández, Gomez & Schmidhuber (2006), *Connectionist temporal classification: labelling unsegmented
sequence data with recurrent neural networks*, sections 4.1 and 4.2; equations by their numbers there. Called
by `modules.bricks.ctc_loss`.

The paper divides the variables of a frame by their sum, one factor for all states (end of section 4.1).
States that are small beside others of their frame then underflow, though they may be the ones that lead to
the target; logarithms lose nothing and take ten times as long. Here each *state* has a factor of its own, a
power of two, chosen at the begin of each block of frames: alpha_t(s) is x_s 2^(e_s). What goes from one state
to another is multiplied by 2^(e_from - e_to), so that a step within a block is sums and products of doubles.
From a state to the next, e falls by no more than `steep`, so that in n frames no x grows beyond
2^(2 steep n) 3^n, which is kept below 2^HIGH. None is lost while it begins a block above 2^-DEEP and loses no
more than 2^-DEEP in it. Blocks are as long as that allows; `steep` is about what the rarest label of a target
costs. A sample in which a state lies deeper gets the loss nan.

Of l', the target with blanks between its labels, blanks and labels lie apart: blank i comes before label i,
which is at i + 1 of its row, after a zero. Up to `LANES` samples lie side by side, so that loops are long and
read what was written a whole vector away. A sample that ends before the others goes on with frames that are
surely blank, which changes no probability.
"""

from functools import cache

import numpy as np

from modules.kernels.compiled import compiled, part

LANES, MOST_CELLS = 4, 1 << 18
"""Samples side by side; fewer where alpha of all frames would be more than so many numbers, for the cache."""
HIGH, DEEP, LEAST_STEEP = 920, 500, 10
NOTHING = -(1 << 40)
"""Exponent of a state that no path has reached."""
HUGE, TINY = 2.0**1000, 2.0**-DEEP
BIAS, FRACTION_BITS = 1023, 52
"""Of a double (IEEE 754): its exponent is held with this added, above so many bits of fraction."""
LN2, LOG2E, ROOT2 = 0.6931471805599453, 1.4426950408889634, 1.4142135623730951


@cache
def loss_and_gradient(is_double):
    """The kernel for logits of 64 or 32 bits."""
    number = "f8[:,:,::1]" if is_double else "f4[:,:,::1]"
    return compiled(_loss_and_gradient, f"void({number},{number},i8[::1],u8[:,::1],i8[::1],i8,b1,f8[::1])")


@part()
def _power_of_two(exponent):
    """2^exponent; zero below -1022, no more than 2^1023."""
    return np.int64((min(max(exponent, -BIAS), BIAS) + BIAS) << FRACTION_BITS).view(np.float64)


@part()
def _exponent(value):
    """Of a positive double, rounded down."""
    return (np.float64(value).view(np.int64) >> FRACTION_BITS) - BIAS


@part("nnan")
def _largest(numbers):
    """Any number where one is nan."""
    largest = numbers[0]
    for n in range(len(numbers)):
        largest = max(largest, numbers[n])
    return largest


@part("reassoc", "contract")
def _exp(logits, rows, numbers, totals):
    """e^logits into rows, the memory of numbers, beside what divides each row to give a softmax (totals).

    False = not everywhere: nan, inf, or all logits of a frame far below those of another.

    e^x is 2^whole 2^f, and 2^f is its Taylor series around f = 1/2, exact to 1e-16. No result is 0.
    """
    largest = np.float64(_largest(logits))
    for n in range(len(numbers)):
        scaled = (np.float64(logits[n]) - largest) * LOG2E
        scaled = -1022.0 if scaled < -1022.0 else scaled  # nan stays nan
        whole = np.floor(scaled)
        r = (scaled - whole - 0.5) * LN2
        series = r * (1 / 479001600.0) + 1 / 39916800.0
        series = series * r + 1 / 3628800.0
        series = series * r + 1 / 362880.0
        series = series * r + 1 / 40320.0
        series = series * r + 1 / 5040.0
        series = series * r + 1 / 720.0
        series = series * r + 1 / 120.0
        series = series * r + 1 / 24.0
        series = series * r + 1 / 6.0
        series = series * r + 1 / 2.0
        series = series * r + 1.0
        series = series * r + 1.0
        numbers[n] = series * ROOT2 * _power_of_two(np.int64(whole))
    holds = True
    for t in range(len(rows)):
        row = rows[t]
        total = 0.0
        for k in range(len(row)):
            total += row[k]
        holds &= total >= TINY
        totals[t] = total
    return holds


@part()
def _gather(rows, totals, target, y, lane, lanes):
    """y of a sample's labels in all its frames."""
    step = np.uint64(lanes)
    for t in range(len(rows)):
        row, y_t, scale = rows[t], y[t], 1 / totals[t]
        place = np.uint64(lane)
        for label in target:
            y_t[place] = row[label] * scale
            place += step


@part()
def _least_bits(y):
    """-log2 of the smallest number that is not zero, rounded up."""
    least = np.uint64(BIAS << FRACTION_BITS)
    for q in range(len(y)):
        least = min(least, np.float64(y[q]).view(np.uint64) - np.uint64(1))
    return BIAS - (np.int64(least) >> FRACTION_BITS)


@part()
def _copy(to, what, size):
    for q in range(size):
        to[q] = what[q]


@part()
def _spread(to, of_lanes, lanes, size):
    """A number of each sample to all its states, by doubling."""
    _copy(to, of_lanes, lanes)
    done = lanes
    while done < size:
        more = min(done, size - done)
        _copy(to[done:], to, more)
        done += more


@part()
def _rescale(blanks, labels, exponents, steep, lengths, reverse, holds):
    """Chooses exponents for a block, in the order in which paths go; holds: no state lies too deep."""
    lanes = len(lengths)
    for lane in range(lanes):
        level, last = NOTHING, 2 * lengths[lane]
        for n in range(last + 1):
            s = last - n if reverse else n
            x, e, place = (labels if s & 1 else blanks), exponents[s & 1], ((s + 1) >> 1) * lanes + lane
            value, before = x[place], e[place]
            own = before + _exponent(value) if value > 0 else NOTHING
            level = max(own, level - steep)
            e[place] = level
            holds[lane] &= value == 0 or own >= level - DEEP
            x[place] = value * _power_of_two(before - level)


@part()
def _ratios(to, exponents_from, exponents_to, where, size):
    for q in range(size):
        to[q] = _power_of_two(exponents_from[q] - exponents_to[q]) * where[q]


@part("contract")
def _labels_onwards(new, x, blank, other, from_blank, from_other, y, size):
    """Equations 6 and 7 at a label: from itself, the blank before and the label before, if that differs."""
    for q in range(size):
        new[q] = (x[q] + from_blank[q] * blank[q] + from_other[q] * other[q]) * y[q]


@part("contract")
def _blanks_onwards(x, label, from_label, y, size):
    """Equations 6 and 7 at a blank: from itself and the label before."""
    for q in range(size):
        x[q] = (x[q] + from_label[q] * label[q]) * y[q]


@part("contract")
def _labels_back(x, g, blank, other, to_blank, to_other, y_blank, size):
    """Equations 10 and 11 at a label; g is beta y of labels in the frame after."""
    for q in range(size):
        x[q] = g[q] + to_blank[q] * (blank[q] * y_blank[q]) + to_other[q] * other[q]


@part("contract")
def _blanks_back(x, g, to_label, y_blank, size):
    for q in range(size):
        x[q] = x[q] * y_blank[q] + to_label[q] * g[q]


@part()
def _halves(w1, w2, e, f, size):
    """2^(e + f) as two factors, since it may be beyond a double where alpha beta is not."""
    for q in range(size):
        half = (e[q] + f[q]) >> 1
        w1[q] = _power_of_two(half)
        w2[q] = _power_of_two(e[q] + f[q] - half)


@part("nnan", "contract")
def _posteriors(posterior, g, alpha, w1, x, w2, y, size):
    """alpha beta / p of labels, and beta y. No path leads from or to where a product is beyond `HUGE`."""
    for q in range(size):
        posterior[q] = min(alpha[q] * w1[q], HUGE) * min(x[q] * w2[q], HUGE)
        g[q] = x[q] * y[q]


@part("contract")
def _finish(gradient, row, total, target, posterior, lane, lanes, blank):
    """Equation 16 for a frame. Its posteriors sum to 1 (equation 14): the blank's is what labels leave."""
    step, place = np.uint64(lanes), np.uint64(lane)
    rest = 1.0
    for label in target:
        rest -= posterior[place]
        row[label] -= posterior[place] * total
        place += step
    row[blank] -= rest * total
    scale = 1 / total
    for k in range(len(row)):
        gradient[k] = row[k] * scale


def _loss_and_gradient(logits, gradient, frames, targets, target_lengths, blank, with_gradient, losses):
    """Fills in losses and gradient.

    Args:
        logits: [batch, time, labels].
        gradient: of each loss, likewise; 0 beyond `frames` and where the loss is inf.
        frames: of each sample, 0 to `time`.
        targets: [batch, longest], labels that there are, none of them the blank; then anything.
        target_lengths: of each sample, 0 to `longest`.
        blank: its label.
        with_gradient: False = losses alone.
        losses: -ln p(l|x), inf where no path leads to the target, nan where this was not computed.
    """
    num_samples, _, num_labels = logits.shape
    all_frames, most = 0, 0
    for b in range(num_samples):
        all_frames, most = max(all_frames, frames[b]), max(most, target_lengths[b])
    lanes = max(1, min(LANES, num_samples, MOST_CELLS // ((all_frames + 1) * (most + 1))))
    size = (most + 1) * lanes
    exps, totals = np.empty((lanes, all_frames, num_labels)), np.empty((lanes, all_frames))
    y, y_blank, blanks_y = np.empty((all_frames, size)), np.empty((all_frames, lanes)), np.zeros(size + lanes)
    alpha = np.empty(
        (all_frames + 1, size + lanes)
    )  # of labels; of blanks, which are equals, one frame will do
    exponents = np.empty((all_frames + 1, 2, size + 2 * lanes), np.int64)
    back = np.empty((2, size + 2 * lanes), np.int64)
    starts, bits = np.zeros(all_frames + 1, np.int64), np.empty(all_frames, np.int64)
    blanks, labels, g = np.empty(size + 2 * lanes), np.empty(size + 2 * lanes), np.zeros(size + 2 * lanes)
    posterior, w1, w2 = np.empty(size), np.empty(size), np.empty(size)
    to_blank, to_label, to_other = np.empty(size), np.empty(size), np.empty(size)
    differs, ones = np.empty(size + lanes), np.ones(size)
    holds, lengths = np.empty(lanes, np.bool_), np.empty(lanes, np.int64)
    for first in range(0, num_samples, lanes):
        group = min(lanes, num_samples - first)
        y[:], y_blank[:], differs[:], holds[:], lengths[:] = 0.0, 1.0, 0.0, True, 0
        for lane in range(group):
            b = first + lane
            lengths[lane] = target_lengths[b]
            target, rows = targets[b, : lengths[lane]], exps[lane, : frames[b]]
            for i in range(1, lengths[lane]):
                differs[i * lanes + lane] = 1.0 if target[i] != target[i - 1] else 0.0
            if frames[b] > 0:
                holds[lane] = _exp(logits[b, : frames[b]].reshape(-1), rows, rows.reshape(-1), totals[lane])
            _gather(rows, totals[lane], target, y, lane, lanes)
            for t in range(frames[b]):
                y_blank[t, lane] = rows[t, blank] / totals[lane, t]

        for t in range(all_frames):
            bits[t] = max(_least_bits(y[t]), _least_bits(y_blank[t]))
            if bits[t] > DEEP:
                bits[t] = DEEP
                for lane in range(group):
                    holds[lane] &= y_blank[t, lane] >= TINY
                    for i in range(lengths[lane] if t < frames[first + lane] else 0):
                        holds[lane] &= y[t, i * lanes + lane] >= TINY
        steep = LEAST_STEEP
        for t in range(all_frames):
            steep = max(steep, 3 * bits[t] // 4)
        num_blocks, used, longest = 0, 0, HIGH // (2 * steep + 2)
        for t in range(all_frames):
            if t == 0 or used + bits[t] > DEEP or t == starts[num_blocks - 1] + longest:
                starts[num_blocks] = t
                num_blocks += 1
                used = 0
            used += bits[t]
        starts[num_blocks] = all_frames

        # Before the first frame all paths stand at the first blank: equation 5 follows from 6.
        alpha[0], alpha[:, :lanes], blanks[:], exponents[0] = 0.0, 0.0, 0.0, NOTHING
        blanks[:lanes], exponents[0, 0, :lanes] = 1.0, 0
        for block in range(num_blocks):
            if block:
                exponents[block] = exponents[block - 1]
            of_blanks, of_labels = exponents[block, 0], exponents[block, 1]
            _copy(labels, alpha[starts[block]], size + lanes)
            _rescale(blanks, labels, exponents[block], steep, lengths, False, holds)
            _ratios(to_blank, of_labels, of_blanks, ones, size)
            _ratios(to_label, of_blanks, of_labels[lanes:], ones, size)
            _ratios(to_other, of_labels, of_labels[lanes:], differs, size)
            old = labels
            for t in range(starts[block], starts[block + 1]):
                _spread(blanks_y, y_blank[t], lanes, size)
                new = alpha[t + 1]
                _labels_onwards(new[lanes:], old[lanes:], blanks, old, to_label, to_other, y[t], size)
                _blanks_onwards(blanks, old, to_blank, blanks_y, size)
                old = new

        # Equation 8: paths end at the last label or the last blank. Our beta begins with 1 / p in place of 1,
        # so that alpha beta is a posterior, and has no y of its own frame, by which equation 14 divides.
        last = max(num_blocks - 1, 0)
        of_blanks, of_labels = exponents[last, 0], exponents[last, 1]
        _copy(labels, alpha[all_frames], size + lanes)
        back[:] = NOTHING
        for lane in range(group):
            place = lengths[lane] * lanes + lane
            top = max(of_blanks[place], of_labels[place])
            p = blanks[place] * _power_of_two(of_blanks[place] - top)
            p += labels[place] * _power_of_two(of_labels[place] - top)
            losses[first + lane] = np.inf if p == 0 else -(np.log(p) + top * LN2)
            w1[lane] = 0.0 if p == 0 else 1 / p
            back[:, place] = -top
        blanks[:], labels[:] = 0.0, 0.0
        for lane in range(group):
            blanks[lengths[lane] * lanes + lane] = w1[lane]
            labels[lengths[lane] * lanes + lane] = w1[lane] if lengths[lane] else 0.0

        for block in range(num_blocks - 1 if with_gradient else -1, -1, -1):
            _rescale(blanks, labels, back, steep, lengths, True, holds)
            of_blanks, of_labels = back[0], back[1]
            _ratios(to_label, of_labels[lanes:], of_blanks, ones, size)
            _ratios(to_blank, of_blanks[lanes:], of_labels[lanes:], ones, size)
            _ratios(to_other, of_labels[2 * lanes :], of_labels[lanes:], differs[lanes:], size)
            _halves(w1, w2, exponents[block, 1][lanes:], of_labels[lanes:], size)
            y_after, g_after = blanks_y[lanes:], g[2 * lanes :]
            for t in range(starts[block + 1] - 1, starts[block] - 1, -1):
                _posteriors(posterior, g[lanes:], alpha[t + 1][lanes:], w1, labels[lanes:], w2, y[t], size)
                for lane in range(group):
                    b = first + lane
                    if t < frames[b]:
                        row, total, target = exps[lane, t], totals[lane, t], targets[b, : lengths[lane]]
                        _finish(gradient[b, t], row, total, target, posterior, lane, lanes, blank)
                _spread(blanks_y, y_blank[t], lanes, size)
                _labels_back(
                    labels[lanes:], g[lanes:], blanks[lanes:], g_after, to_blank, to_other, y_after, size
                )
                _blanks_back(blanks, g[lanes:], to_label, blanks_y, size)

        for lane in range(group):
            b = first + lane
            if with_gradient:
                gradient[b, frames[b] :] = 0.0
                if losses[b] == np.inf:
                    gradient[b] = 0.0
            if not holds[lane]:
                losses[b] = np.nan
