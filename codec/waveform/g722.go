package waveform

// g722 is one direction of G.722: two bands of ADPCM, six bits a sample for the
// low one and two for the high one. Names in comments are the recommendation's
// blocks (section 6.2.1).
type g722 struct {
	low, high subband
	past      [24]int // of the quadrature mirror filter
}

func newG722() *g722 {
	return &g722{low: subband{step: 32}, high: subband{step: 8}}
}

func (g *g722) follow(other coder) { *g = *other.(*g722) }

// mirror is the filter that splits and joins the bands (table 11), half of it.
func mirror() *[12]int {
	return &[12]int{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11}
}

// filter takes two values into the mirror filter and returns the sums of its halves.
func (g *g722) filter(a, b int) (even, odd int) {
	copy(g.past[:], g.past[2:])
	g.past[22], g.past[23] = a, b
	taps := mirror()
	for i, t := range taps {
		odd += g.past[2*i] * t
		even += g.past[2*i+1] * taps[11-i]
	}
	return even, odd
}

// encode makes a byte of two samples.
func (g *g722) encode(dst []byte, pcm []int16) []byte {
	for i := 0; i+1 < len(pcm); i += 2 {
		even, odd := g.filter(int(pcm[i]), int(pcm[i+1]))
		low := g.low.quantizeLow((even + odd) >> 14)
		high := g.high.quantizeHigh((even - odd) >> 14)
		g.low.lowStep(low)
		g.high.highStep(high)
		dst = append(dst, byte(high<<6|low))
	}
	return dst
}

// decode makes two samples of a byte.
func (g *g722) decode(dst []int16, packet []byte) []int16 {
	for _, b := range packet {
		low, high := int(b&0x3f), int(b>>6)
		l := clamp(g.low.predicted+g.low.step*sixBits[low]>>15, 1<<14)
		h := clamp(g.high.predicted+g.high.step*twoBits[high]>>15, 1<<14)
		g.low.lowStep(low)
		g.high.highStep(high)
		even, odd := g.filter(l+h, l-h)
		dst = append(dst, int16(saturate(even>>11)), int16(saturate(odd>>11)))
	}
	return dst
}

// subband is one band's predictor and step size.
type subband struct {
	step      int // of the quantizer, DET
	scale     int // its logarithm, NB
	predicted int // S
	zeroes    int // SZ, the part of it that comes from the six zeroes

	a [3]int // coefficients of the poles; index 0 is not used
	b [7]int // and of the zeroes
	r [3]int // reconstructed signal, the newest first
	p [3]int // partially reconstructed
	d [7]int // differences
}

// quantizeLow is QUANTL.
func (s *subband) quantizeLow(x int) int {
	e := saturate(x - s.predicted)
	m := e
	if e < 0 {
		m = -(e + 1)
	}
	i := 1
	for i < 30 && m >= lowLevels[i]*s.step>>12 {
		i++
	}
	if e < 0 {
		if i <= 2 {
			return 64 - i
		}
		return 34 - i
	}
	return 62 - i
}

// quantizeHigh is QUANTH.
func (s *subband) quantizeHigh(x int) int {
	const level = 564
	e := saturate(x - s.predicted)
	code, m := 3, e
	if e < 0 {
		code, m = 1, -(e + 1)
	}
	if m >= level*s.step>>12 {
		code--
	}
	return code
}

// lowStep takes a code of the low band: INVQAL, LOGSCL, SCALEL and the predictor.
func (s *subband) lowStep(code int) {
	code >>= 2 // the predictor knows four bits, so that two may be stolen
	diff := s.step * fourBits[code] >> 15
	s.scale = min(max(s.scale*127>>7+lowScales[code], 0), 18432)
	s.step = exponent(s.scale, 8)
	s.adapt(diff)
}

// highStep takes a code of the high band: INVQAH, LOGSCH, SCALEH and the predictor.
func (s *subband) highStep(code int) {
	diff := s.step * twoBits[code] >> 15
	s.scale = min(max(s.scale*127>>7+highScales[code&1], 0), 22528)
	s.step = exponent(s.scale, 10)
	s.adapt(diff)
}

func exponent(scale, shift int) int {
	v := powers[scale>>6&31]
	if n := shift - scale>>11; n >= 0 {
		return v >> n << 2
	} else {
		return v << -n << 2
	}
}

// adapt takes a difference into the predictor: blocks 4L and 4H.
func (s *subband) adapt(diff int) {
	s.d[0] = diff
	s.r[0] = saturate(s.predicted + diff)
	s.p[0] = saturate(s.zeroes + diff)
	same := func(a, b int) bool { return a < 0 == (b < 0) }

	// UPPOL2, UPPOL1
	a2 := saturate(s.a[1] << 2)
	if same(s.p[0], s.p[1]) {
		a2 = min(-a2, 32767)
	}
	a2 >>= 7
	if same(s.p[0], s.p[2]) {
		a2 += 128
	} else {
		a2 -= 128
	}
	a2 = min(max(a2+s.a[2]*32512>>15, -12288), 12288)
	a1 := s.a[1] * 32640 >> 15
	if same(s.p[0], s.p[1]) {
		a1 += 192
	} else {
		a1 -= 192
	}
	most := saturate(15360 - a2)
	s.a[1], s.a[2] = min(max(saturate(a1), -most), most), a2

	// UPZERO
	for i := 1; i < len(s.b); i++ {
		b := s.b[i] * 32640 >> 15
		switch {
		case diff == 0:
		case same(s.d[i], diff):
			b += 128
		default:
			b -= 128
		}
		s.b[i] = saturate(b)
	}

	// DELAYA, FILTEP, FILTEZ, PREDIC
	copy(s.d[1:], s.d[:])
	copy(s.r[1:], s.r[:])
	copy(s.p[1:], s.p[:])
	poles := saturate(s.a[1]*saturate(2*s.r[1])>>15 + s.a[2]*saturate(2*s.r[2])>>15)
	s.zeroes = 0
	for i := 1; i < len(s.b); i++ {
		s.zeroes += s.b[i] * saturate(2*s.d[i]) >> 15
	}
	s.zeroes = saturate(s.zeroes)
	s.predicted = saturate(poles + s.zeroes)
}

func saturate(v int) int { return min(max(v, -32768), 32767) }

// clamp keeps v within -n and n-1.
func clamp(v, n int) int { return min(max(v, -n), n-1) }

// The tables of the recommendation.
var (
	lowLevels = [30]int{ // Q6
		0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650,
		714, 786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
	}
	lowScales = [16]int{ // WL by RIL
		-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
	}
	highScales = [2]int{798, -214} // WH by the code's lower bit
	powers     = [32]int{          // ILB
		2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
		2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
	}
	twoBits  = [4]int{-7408, -1616, 7408, 1616} // QM2
	fourBits = [16]int{                         // QM4
		0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
	}
	sixBits = [64]int{ // QM6
		-136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
		-7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
		24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
		4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
	}
)
