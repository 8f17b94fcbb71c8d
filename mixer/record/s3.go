package record

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Config is a bucket of an S3-compatible server.
type S3Config struct {
	Endpoint string // URL; http is for tests and networks of one's own
	Region   string // empty: found out
	Bucket   string
	Prefix   string // of all names
	Key      string
	Secret   string
}

// S3 is a Store.
type S3 struct {
	cfg  S3Config
	core *minio.Core
}

// NewS3 does not speak to the server yet.
func NewS3(cfg S3Config) (*S3, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("S3 endpoint %q: want http(s)://HOST[:PORT]", cfg.Endpoint)
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(cfg.Key, cfg.Secret, ""), Secure: u.Scheme == "https", Region: cfg.Region,
		MaxRetries: 1, // again tries, and sees when to stop
	})
	if err != nil {
		return nil, fmt.Errorf("S3 %s: %w", cfg.Endpoint, err)
	}
	return &S3{cfg: cfg, core: core}, nil
}

// String implements Store.
func (s *S3) String() string { return "s3://" + path.Join(s.cfg.Bucket, s.cfg.Prefix) }

func (s *S3) key(name string) string { return path.Join(s.cfg.Prefix, name) }

// Begin implements Store.
func (s *S3) Begin(ctx context.Context, name, media string) (string, error) {
	return s.core.NewMultipartUpload(ctx, s.cfg.Bucket, s.key(name), minio.PutObjectOptions{ContentType: media})
}

// Part implements Store.
func (s *S3) Part(ctx context.Context, name, upload string, n int, data io.ReadSeeker, size int64) (string, error) {
	p, err := s.core.PutObjectPart(ctx, s.cfg.Bucket, s.key(name), upload, n, data, size, minio.PutObjectPartOptions{
		// The tag that comes back is the sum of what arrived, and is compared. Signing
		// in chunks, as else over plain HTTP, is more than some servers understand.
		DisableContentSha256: true,
	})
	return strings.Trim(p.ETag, `"`), err
}

// Parts implements Store.
func (s *S3) Parts(ctx context.Context, name, upload string) (map[int]string, error) {
	tags := map[int]string{}
	for marker := 0; ; {
		got, err := s.core.ListObjectParts(ctx, s.cfg.Bucket, s.key(name), upload, marker, 1000)
		if err != nil {
			return nil, err
		}
		for _, p := range got.ObjectParts {
			tags[p.PartNumber] = strings.Trim(p.ETag, `"`)
		}
		if !got.IsTruncated || got.NextPartNumberMarker <= marker {
			return tags, nil
		}
		marker = got.NextPartNumberMarker
	}
}

// Finish implements Store.
func (s *S3) Finish(ctx context.Context, name, upload string, tags []string) error {
	parts := make([]minio.CompletePart, len(tags))
	for i, tag := range tags {
		parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: tag}
	}
	_, err := s.core.CompleteMultipartUpload(ctx, s.cfg.Bucket, s.key(name), upload, parts, minio.PutObjectOptions{})
	return err
}

// Abort implements Store.
func (s *S3) Abort(ctx context.Context, name, upload string) error {
	return s.core.AbortMultipartUpload(ctx, s.cfg.Bucket, s.key(name), upload)
}

// Open implements Store.
func (s *S3) Open(ctx context.Context, name string) (io.ReadSeekCloser, error) {
	o, err := s.core.Client.GetObject(ctx, s.cfg.Bucket, s.key(name), minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	if _, err := o.Stat(); err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// Delete implements Store. What is not there is deleted.
func (s *S3) Delete(ctx context.Context, name string) error {
	err := s.core.Client.RemoveObject(ctx, s.cfg.Bucket, s.key(name), minio.RemoveObjectOptions{})
	if minio.ToErrorResponse(err).StatusCode == http.StatusNotFound {
		return nil
	}
	return err
}
