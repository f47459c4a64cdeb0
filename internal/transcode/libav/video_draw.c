//go:build cgo

#include "video.h"

#include <string.h>
#include <libavutil/error.h>
#include <libavutil/frame.h>
#include <libavutil/imgutils.h>
#include <libavutil/mem.h>
#include <libavutil/pixfmt.h>
#include <libswscale/swscale.h>

struct tp_canvas {
	AVFrame *shown; // the picture to encode: own, or a reference to the decoder's picture if that needs no change
	AVFrame *own;   // in the size of the canvas
	AVFrame *flat;  // scaled, not rotated yet

	struct SwsContext *sws;
	int from_width, from_height, from_format, from_range, from_matrix, width, height, matrix; // for which sws was made
};

tp_canvas *tp_canvas_new(void) {
	tp_canvas *c = av_mallocz(sizeof *c);
	if (!c)
		return NULL;
	c->shown = av_frame_alloc();
	c->own = av_frame_alloc();
	c->flat = av_frame_alloc();
	if (!c->shown || !c->own || !c->flat) {
		tp_canvas_free(c);
		return NULL;
	}
	return c;
}

void tp_canvas_free(tp_canvas *c) {
	if (!c)
		return;
	av_frame_free(&c->shown);
	av_frame_free(&c->own);
	av_frame_free(&c->flat);
	sws_freeContext(c->sws);
	av_free(c);
}

// blank makes f a picture of that size that can be written to.
static int blank(AVFrame *f, int width, int height) {
	if (f->buf[0] && f->width == width && f->height == height)
		return av_frame_make_writable(f);
	av_frame_unref(f);
	f->format = AV_PIX_FMT_YUV420P;
	f->width = width;
	f->height = height;
	return av_frame_get_buffer(f, 0);
}

// even returns the part of a side that is used: without an odd last line, which YUV 4:2:0 does not have.
static int even(int side) { return side < 2 ? side : side & ~1; }

static int full_range(const AVFrame *f) {
	switch (f->format) {
	case AV_PIX_FMT_YUVJ420P:
	case AV_PIX_FMT_YUVJ422P:
	case AV_PIX_FMT_YUVJ444P:
	case AV_PIX_FMT_YUVJ440P:
		return 1;
	default:
		return f->color_range == AVCOL_RANGE_JPEG;
	}
}

// source_matrix returns the matrix of the picture if that is one of the rare ones that are converted, else the matrix to write.
static int source_matrix(const AVFrame *f, int to) {
	switch (f->colorspace) {
	case AVCOL_SPC_FCC:
	case AVCOL_SPC_SMPTE240M:
	case AVCOL_SPC_BT2020_NCL:
	case AVCOL_SPC_BT2020_CL:
		return f->colorspace;
	default:
		return to;
	}
}

// scaler sets up c->sws for the frames.
static int scaler(tp_canvas *c, const AVFrame *f, int width, int height, int matrix) {
	int range = full_range(f), from = source_matrix(f, matrix);
	if (c->sws && c->from_width == even(f->width) && c->from_height == even(f->height) && c->from_format == f->format &&
		c->from_range == range && c->from_matrix == from && c->width == width && c->height == height && c->matrix == matrix)
		return 0;
	sws_freeContext(c->sws);
	c->sws = sws_getContext(even(f->width), even(f->height), f->format, width, height, AV_PIX_FMT_YUV420P, SWS_BILINEAR,
		NULL, NULL, NULL);
	if (!c->sws)
		return AVERROR(EINVAL);
	int r = sws_setColorspaceDetails(c->sws, sws_getCoefficients(from), range, sws_getCoefficients(matrix), 0, 0,
		1 << 16, 1 << 16);
	if (r < 0 && range) // the range cannot be set for grey and similar formats
		return AVERROR(ENOSYS);
	c->from_width = even(f->width);
	c->from_height = even(f->height);
	c->from_format = f->format;
	c->from_range = range;
	c->from_matrix = from;
	c->width = width;
	c->height = height;
	c->matrix = matrix;
	return 0;
}

// planes returns the position in f of the pixel at x and y, both even.
static void planes(const AVFrame *f, int x, int y, uint8_t *to[4]) {
	to[0] = f->data[0] + (ptrdiff_t)y * f->linesize[0] + x;
	to[1] = f->data[1] + (ptrdiff_t)(y / 2) * f->linesize[1] + x / 2;
	to[2] = f->data[2] + (ptrdiff_t)(y / 2) * f->linesize[2] + x / 2;
	to[3] = NULL;
}

static int scale(tp_canvas *c, const AVFrame *from, int matrix, AVFrame *to, int left, int top, int width, int height) {
	int r = scaler(c, from, width, height, matrix);
	if (r < 0)
		return r;
	uint8_t *at[4];
	planes(to, left, top, at);
	r = sws_scale(c->sws, (const uint8_t *const *)from->data, from->linesize, 0, even(from->height), at, to->linesize);
	return r < 0 ? r : 0;
}

// rotate copies a plane with rotation. width and height are those of the result. It goes by small squares, so that source and result stay in
// the cache.
static void rotate(uint8_t *to, ptrdiff_t to_stride, const uint8_t *from, ptrdiff_t from_stride, int width, int height,
	int rotation) {
	enum { square = 32 };
	ptrdiff_t right, down; // the step in the source for one step in the result
	switch (rotation) {
	case 90:
		from += (width - 1) * from_stride;
		right = -from_stride;
		down = 1;
		break;
	case 180:
		from += (height - 1) * from_stride + width - 1;
		right = -1;
		down = -from_stride;
		break;
	case 270:
		from += height - 1;
		right = from_stride;
		down = -1;
		break;
	default:
		av_image_copy_plane(to, to_stride, from, from_stride, width, height);
		return;
	}
	for (int top = 0; top < height; top += square) {
		for (int left = 0; left < width; left += square) {
			int bottom = FFMIN(top + square, height), end = FFMIN(left + square, width);
			for (int y = top; y < bottom; y++) {
				const uint8_t *s = from + y * down + left * right;
				uint8_t *d = to + y * to_stride;
				for (int x = left; x < end; x++, s += right)
					d[x] = *s;
			}
		}
	}
}

static void fill(AVFrame *f, int left, int top, int width, int height) {
	if (width <= 0 || height <= 0)
		return;
	uint8_t *at[4];
	planes(f, left, top, at);
	for (int y = 0; y < height; y++)
		memset(at[0] + (ptrdiff_t)y * f->linesize[0], 16, width);
	for (int y = 0; y < height / 2; y++) {
		memset(at[1] + (ptrdiff_t)y * f->linesize[1], 128, width / 2);
		memset(at[2] + (ptrdiff_t)y * f->linesize[2], 128, width / 2);
	}
}

// bars draws the black bars beside the picture. It is called for each picture, because the scaler may write a few pixels past the edge of
// the picture.
static void bars(AVFrame *f, const tp_layout *l) {
	int right = l->left + l->inner_width, bottom = l->top + l->inner_height;
	fill(f, 0, 0, l->width, l->top);
	fill(f, 0, bottom, l->width, l->height - bottom);
	fill(f, 0, l->top, l->left, l->inner_height);
	fill(f, right, l->top, l->width - right, l->inner_height);
}

// show puts f, or the part of f that has this size, on the canvas.
static int show(tp_canvas *c, const AVFrame *f, int width, int height) {
	av_frame_unref(c->shown);
	int r = av_frame_ref(c->shown, f);
	c->shown->width = width;
	c->shown->height = height;
	return r;
}

int tp_canvas_draw(tp_canvas *c, const tp_picture *p, const tp_layout *l) {
	const AVFrame *f = p->frame;
	int turned = l->rotation == 90 || l->rotation == 270;
	int width = turned ? l->inner_height : l->inner_width, height = turned ? l->inner_width : l->inner_height;
	int whole = l->inner_width == l->width && l->inner_height == l->height;
	int fit = f->format == AV_PIX_FMT_YUV420P && !full_range(f) && source_matrix(f, p->matrix) == p->matrix &&
		even(f->width) == width && even(f->height) == height;
	if (fit && whole && l->rotation == 0)
		return show(c, f, width, height);

	// The picture before is released first, so that it need not be copied before it is drawn over.
	av_frame_unref(c->shown);
	int r = blank(c->own, l->width, l->height);
	if (r < 0)
		return r;
	if (!fit && l->rotation == 0) {
		r = scale(c, f, p->matrix, c->own, l->left, l->top, width, height);
	} else {
		if (!fit) {
			r = blank(c->flat, width, height);
			if (r >= 0)
				r = scale(c, f, p->matrix, c->flat, 0, 0, width, height);
			f = c->flat;
		}
		uint8_t *at[4];
		planes(c->own, l->left, l->top, at);
		for (int i = 0; i < 3 && r >= 0; i++)
			rotate(at[i], c->own->linesize[i], f->data[i], f->linesize[i], i ? l->inner_width / 2 : l->inner_width,
				i ? l->inner_height / 2 : l->inner_height, l->rotation);
	}
	if (r < 0)
		return r;
	if (!whole)
		bars(c->own, l);
	return show(c, c->own, l->width, l->height);
}

int tp_canvas_rgba(const tp_canvas *c, int matrix, uint8_t *rgba) {
	const AVFrame *f = c->shown;
	struct SwsContext *sws = sws_getContext(f->width, f->height, AV_PIX_FMT_YUV420P, f->width, f->height, AV_PIX_FMT_RGBA,
		SWS_BILINEAR | SWS_FULL_CHR_H_INT | SWS_ACCURATE_RND, NULL, NULL, NULL);
	if (!sws)
		return AVERROR(EINVAL);
	sws_setColorspaceDetails(sws, sws_getCoefficients(matrix), 0, sws_getCoefficients(matrix), 1, 0, 1 << 16, 1 << 16);
	uint8_t *const to[4] = {rgba};
	const int stride[4] = {4 * f->width};
	int r = sws_scale(sws, (const uint8_t *const *)f->data, f->linesize, 0, f->height, to, stride);
	sws_freeContext(sws);
	return r < 0 ? r : 0;
}

// tp_canvas_shown is for the encoder only.
const AVFrame *tp_canvas_shown(const tp_canvas *c) { return c->shown; }
