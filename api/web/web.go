// Package web holds the join page as it was built into dist.
package web

import (
	"embed"
	"io/fs"
)

// dist/.gitkeep is there without a build, so that Go builds without the page.
//
//go:embed all:dist
var dist embed.FS

// FS returns the built page: index.html and assets. It has no index.html if
// the page was not built.
func FS() (fs.FS, error) { return fs.Sub(dist, "dist") }
