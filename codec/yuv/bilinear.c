#include "bilinear.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__

#include <tmmintrin.h>

// eight is how eight neighbouring samples are made of a row: which of sixteen
// bytes from `at` on are their left and right neighbours, and by what weights.
typedef struct {
	uint8_t from[16];
	uint8_t weight[16]; // of 128
	int at;
} eight;

enum { most = 8192 }; // samples in a row

// plan fills in a row's eights and returns 0 if sixteen bytes are too few.
// Samples lie in the middle of their pixels.
static int plan(eight *e, int sw, int dw)
{
	int64_t step = ((int64_t)sw << 16) / dw, x = step / 2 - 32768;
	for (int i = 0; i < dw; i += 8, e++) {
		e->at = (int)(x >> 16);
		for (int k = 0; k < 8; k++) {
			int p = e->at, f = 0;
			if (i + k < dw) {
				p = (int)(x >> 16);
				f = (int)(x & 0xffff) >> 9;
				x += step;
			}
			if (p >= sw - 1) {
				p = sw - 1;
				f = 0;
			}
			if (p + 1 - e->at > 15)
				return 0;
			e->from[2 * k] = (uint8_t)(p - e->at);
			e->from[2 * k + 1] = (uint8_t)(p + 1 - e->at);
			e->weight[2 * k] = (uint8_t)(128 - f);
			e->weight[2 * k + 1] = (uint8_t)f;
		}
	}
	return 1;
}

// blend makes a row of two, the second one's weight being f of 256.
__attribute__((target("ssse3")))
static void blend(uint8_t *t, const uint8_t *a, const uint8_t *b, int w, int f)
{
	const __m128i zero = _mm_setzero_si128(), half = _mm_set1_epi16(128);
	const __m128i wa = _mm_set1_epi16((short)(256 - f)), wb = _mm_set1_epi16((short)f);
	int i = 0;
	for (; i + 16 <= w; i += 16) {
		__m128i p = _mm_loadu_si128((const __m128i *)(a + i)), q = _mm_loadu_si128((const __m128i *)(b + i));
		__m128i lo = _mm_add_epi16(_mm_mullo_epi16(_mm_unpacklo_epi8(p, zero), wa), _mm_mullo_epi16(_mm_unpacklo_epi8(q, zero), wb));
		__m128i hi = _mm_add_epi16(_mm_mullo_epi16(_mm_unpackhi_epi8(p, zero), wa), _mm_mullo_epi16(_mm_unpackhi_epi8(q, zero), wb));
		lo = _mm_srli_epi16(_mm_add_epi16(lo, half), 8);
		hi = _mm_srli_epi16(_mm_add_epi16(hi, half), 8);
		_mm_storeu_si128((__m128i *)(t + i), _mm_packus_epi16(lo, hi));
	}
	for (; i < w; i++)
		t[i] = (uint8_t)((a[i] * (256 - f) + b[i] * f + 128) >> 8);
}

// squeeze makes dw samples of a row, behind which sixteen bytes may be read.
__attribute__((target("ssse3")))
static void squeeze(uint8_t *d, const uint8_t *t, const eight *e, int dw)
{
	// The instruction takes signed samples and unsigned weights.
	const __m128i sign = _mm_set1_epi8((char)0x80), half = _mm_set1_epi16(64);
	for (int i = 0; i < dw; i += 8, e++) {
		__m128i p = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(t + e->at)), _mm_loadu_si128((const __m128i *)e->from));
		__m128i s = _mm_maddubs_epi16(_mm_loadu_si128((const __m128i *)e->weight), _mm_xor_si128(p, sign));
		s = _mm_srai_epi16(_mm_add_epi16(s, half), 7);
		s = _mm_xor_si128(_mm_packs_epi16(s, s), sign);
		if (i + 8 <= dw) {
			_mm_storel_epi64((__m128i *)(d + i), s);
		} else {
			uint8_t rest[8];
			_mm_storel_epi64((__m128i *)rest, s);
			memcpy(d + i, rest, (size_t)(dw - i));
		}
	}
}

static void plane(uint8_t *d, int ds, int dw, int dh, const uint8_t *s, int ss, int sw, int sh, const eight *e, uint8_t *row)
{
	int64_t step = ((int64_t)sh << 16) / dh, y = step / 2 - 32768;
	for (int i = 0; i < dh; i++, d += ds, y += step) {
		int top = (int)(y >> 16), f = (int)(y & 0xffff) >> 8;
		if (top >= sh - 1) {
			top = sh - 1;
			f = 0;
		}
		const uint8_t *a = s + (ptrdiff_t)top * ss;
		blend(row, a, f ? a + ss : a, sw, f);
		squeeze(d, row, e, dw);
	}
}

int bilinear(picture s, picture d)
{
	if (d.w > s.w || d.h > s.h || s.w > 2 * d.w || s.h > 2 * d.h || s.w > most || d.w < 8 || d.h < 2 || !__builtin_cpu_supports("ssse3"))
		return 0;
	int cw = (s.w + 1) / 2, ch = (s.h + 1) / 2, dcw = (d.w + 1) / 2, dch = (d.h + 1) / 2;
	eight *e = malloc(sizeof(eight) * (size_t)(d.w / 8 + 1) + (size_t)s.w + 32);
	if (!e)
		return 0;
	uint8_t *row = (uint8_t *)(e + d.w / 8 + 1);
	memset(row, 0, (size_t)s.w + 32);
	int done = plan(e, s.w, d.w);
	if (done) {
		plane(d.y, d.ys, d.w, d.h, s.y, s.ys, s.w, s.h, e, row);
		done = plan(e, cw, dcw);
	}
	if (done) {
		plane(d.u, d.uvs, dcw, dch, s.u, s.uvs, cw, ch, e, row);
		plane(d.v, d.uvs, dcw, dch, s.v, s.uvs, cw, ch, e, row);
	}
	free(e);
	return done;
}

#else

int bilinear(picture s, picture d)
{
	(void)s, (void)d;
	return 0;
}

#endif
