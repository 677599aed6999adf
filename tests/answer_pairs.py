"""Pairs of answers as models write them, `one || other`: the same answer, and different ones."""

SAME = r"""
\text{12 students} || 12
\text{\$18 per day} || 18
-\$5 || -5
07:30 || 7:30
5^\circ C || 5
\text{The solution is } x = 3 || 3
x \in (-\infty, -2) \cup (3, \infty) || (-\infty,-2)\cup(3,\infty)
x < -2 \text{ or } x > 3 || (-\infty,-2)\cup(3,\infty)
(-\infty, -2] \cup [3, +\infty) || (-\infty,-2]\cup[3,\infty)
y = -\frac{1}{2}x + 3 || y=3-\frac{x}{2}
x + 2y = 6 || y = 3 - x/2
(x-1)^2 + (y+2)^2 = 9 || (y+2)^2+(x-1)^2=9
x^2+y^2-2x+4y-4=0 || (x-1)^2+(y+2)^2=9
\frac{3\sqrt{2}}{2} || \frac{3}{\sqrt{2}}
3\sqrt{2}/2 || \frac{3\sqrt2}{2}
2\pi \text{ cm} || 2\pi
36\pi \text{ square inches} || 36\pi
\frac{\pi}{4} \text{ radians} || \frac{\pi}{4}
45 \text{ degrees} || 45^\circ
45^{\circ} || 45
\$18.90 || 18.90
18.9 || \$18.90
\text{\$18.90} || 18.90
5,\!040 || 5040
1{,}234{,}567 || 1234567
0.\overline{6} || \frac{2}{3}
6 - 5i || -5i + 6
\frac{1}{2} + \frac{\sqrt{3}}{2} i || \frac{1+i\sqrt{3}}{2}
e^{2x} || (e^x)^2
\ln 2 || \ln{2}
\ln(2) || \ln 2
\log_{10} 100 || 2
\log 100 || 2
\sin^2 \theta || (\sin\theta)^2
\binom{5}{2} || 10
{5 \choose 2} || 10
10 \text{ ways} || 10
10.00 || 10
+10 || 10
10^{-3} || 0.001
1 \times 10^{-3} || 0.001
3.0 \times 10^8 \text{ m/s} || 3e8
3 \times 10^{8} || 300000000
\dfrac{7}{12} || 7/12
7/12 || \frac{7}{12}
-\dfrac{7}{12} || \frac{-7}{12}
\frac{7}{-12} || -\frac{7}{12}
2 \frac{1}{2} || \frac{5}{2}
2\,\frac12 || 2.5
\left( \frac{1}{2}, -3 \right) || (0.5,-3)
(x,y)=(1,2) || (1,2)
x=1, y=2 || (1,2)
x = 1 \text{ and } y = 2 || (1,2)
(1, 2) \text{ and } (3, 4) || (3,4), (1,2)
\{(1,2),(3,4)\} || (1,2),(3,4)
\left\{1, 2, 3\right\} || 1,2,3
1, 2, \text{and } 3 || 1,2,3
x = 1, 2, 3 || 1,2,3
x=\pm 2 || -2, 2
\pm 2 || 2,-2
\pm\sqrt{3} || \sqrt3,-\sqrt3
\frac{-1 \pm \sqrt{5}}{2} || \frac{-1+\sqrt5}{2}, \frac{-1-\sqrt5}{2}
\text{Monday} || monday
\textbf{Monday} || \text{Monday}
\text{(A)} || A
(A) || A
A) || A
A. || A
\mathbf{A} || A
\textbf{A} || A
\text{A} || A
A: 5 || A
(B) 12 || B
\textbf{(B)}\ 12 || B
\text{Yes} || yes
\text{True} || True
\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} || \begin{bmatrix}1&2\\3&4\end{bmatrix}
\begin{bmatrix} -2 \\ 1/2 \end{bmatrix} || \begin{pmatrix} -2 \\ \frac12 \end{pmatrix}
\begin{array}{cc} 1 & 2 \\ 3 & 4 \end{array} || \begin{pmatrix}1&2\\3&4\end{pmatrix}
2x^2 + 3x - 5 || -5+3x+2x^2
2x^2 + 3x - 5 || (2x+5)(x-1)
f(x) = 2x^2+3x-5 || 2x^2+3x-5
f(x) = x^2 || x^2
2 \cdot 3 \cdot 5 || 30
2^3 \cdot 3 || 24
n(n+1)/2 || \frac{n(n+1)}{2}
\frac{n^2+n}{2} || \frac{n(n+1)}{2}
2^{n+1} - 1 || 2\cdot 2^n-1
n! || n!
(n-1)! || (n-1)!
\sqrt[3]{2} || 2^{1/3}
\sqrt{50} || 5\sqrt{2}
12:30 \text{ PM} || 12\!:\!30 \text{ p.m.}
3:30 || \text{3:30 p.m.}
2:3 || 2:3
2 : 3 || \frac{2}{3}
1011_2 || 1011_{2}
1011_{\text{2}} || 1011_2
50\% || 50
50\% || 50\%
50 \text{ percent} || 50\%
\frac{1}{3} \text{ of the cake} || \frac13
x \geq 2 || [2,\infty)
2 \leq x \leq 5 || [2,5]
2 \leq x < 5 || [2,5)
x \le 2 || 2 \ge x
x \neq 3 || x \ne 3
\emptyset || \{\}
\infty || +\infty
\text{undefined} || undefined
\text{no real solutions} || \text{No real solutions}
a_n = 2n+1 || 2n+1
\frac{dy}{dx} = 2x || 2x
\vec{v} = (1,2) || (1,2)
\langle 1, 2, 3 \rangle || (1,2,3)
\mathbf{i} + 2\mathbf{j} || \mathbf{i}+2\mathbf{j}
\angle ABC = 60^\circ || 60
AB = 5 || 5
|AB| = 5 || 5
P(A) = \frac12 || \frac12
P = \frac{1}{2} || 0.5
\frac{1}{2}(x+1) || \frac{x+1}{2}
k=7 || 7
\text{Area} = 12 || 12
12 \text{ sq. units} || 12
12 \, \text{cm}^2 || 12\text{ cm}^2
12\ \text{cm}^{2} || 12
12 \mathrm{~cm}^2 || 12
12 \mathrm{~m} / \mathrm{s} || 12 \text{ m/s}
9.8 \, \text{m/s}^2 || 9.8
\approx 3.14 || 3.14
x \approx 2.5 || 2.5
\frac{a}{b+c} || a/(b+c)
a^2 b || b a^2
\cos(2x) || 1 - 2\sin^2 x
\tan 45^\circ || 1
\sin 30^{\circ} || \frac12
\sqrt{3}/3 || \frac{1}{\sqrt3}
\lfloor 3.7 \rfloor || 3
0 || 0.0
-0 || 0
\frac{0}{5} || 0
10,000 || 10000
10 000 || 10000
100,000,000 || 10^8
1.5 million || 1500000
1.5 \text{ million} || 1500000
x^{2}-x-1 || x^2 - x - 1
-x^2+3 || 3-x^2
\text{Friday, March 3} || \text{Friday March 3}
90^\circ || \frac{\pi}{2}\text{ rad}
50\% || 0.5
f(x)=2x \text{ for all real } x || f(x)=2x
f(x) = 2x \quad \text{for all } x \in \mathbb{R} || f(x)=2x
f(x)=cx, \text{ where } c \text{ is any real constant} || f(x)=cx
x = \frac{\pi}{4}+k\pi, k\in\mathbb{Z} || x = \frac{\pi}{4}+k\pi
x = k\pi \; (k \in \mathbb{Z}) || k\pi
\frac{1}{x} \quad (x \neq 0) || \frac1x
2n+1, n \ge 1 || 2n+1
(n-1)! \text{ for } n \ge 1 || (n-1)!
4 \text{ (when } x=2) || 4
f(n) = n \text{ for every positive integer } n || f(n)=n
P(x)=x \forall x || P(x)=x
x = \pm 3, 5 || 3, -3, 5
\{0, \pm 1\} || \{-1,0,1\}
(\pm 1, 0) || (1,0),(-1,0)
(2, \pm\sqrt{3}) || (2,\sqrt3), (2,-\sqrt3)
x = 1 \pm \sqrt{2}, x=3 || 3, 1+\sqrt2, 1-\sqrt2
\pm\frac{1}{2}, \pm\frac{3}{2} || \frac12,-\frac12,\frac32,-\frac32
y' = -2xy || y'+2xy=0
\frac{dy}{dx} = ky || y' = ky
\frac{d^2x}{dt^2} + \omega^2 x = 0 || \ddot{x} = -\omega^2 x
y = 2x + 3 || 2x - y + 3 = 0
x^2+y^2-4=0 || x^2+y^2=4
\frac{x^2}{9}+\frac{y^2}{4}=1 || 4x^2+9y^2=36
y - 3 = 2(x-1) || y = 2x+1
x > 3 \text{ and } x < 5 || (3,5)
-2 \le x \text{ and } x < 4 || [-2,4)
\{x \in \mathbb{R} \mid x > 2\} || (2,\infty)
\{x : x \le -1 \text{ or } x \ge 3\} || (-\infty,-1]\cup[3,\infty)
|x| \le 2 || [-2,2]
|x-3| < 2 || (1,5)
|x| > 2 || (-\infty,-2)\cup(2,\infty)
x^2 \le 9 || [-3,3]
x \ne 3 || (-\infty,3)\cup(3,\infty)
\mathbb{R}\setminus\{3\} || (-\infty,3)\cup(3,\infty)
\mathbb{R} || (-\infty,\infty)
a \geq 1 || [1,\infty)
0<x<1 \text{ or } x>2 || (0,1)\cup(2,\infty)
\sum_{k=1}^{n} k || \frac{n(n+1)}{2}
\sum_{i=0}^{n} 2^i || 2^{n+1}-1
C(10,3) || 120
\binom{n}{2} || \frac{n(n-1)}{2}
{}_{5}C_{2} || 10
C_{5}^{2} || 10
\frac{n!}{2!(n-2)!} || \binom{n}{2}
-1./3 || -\frac13
np.arcsin(10/13) || \arcsin\left(\frac{10}{13}\right)
2*np.pi || 2\pi
x**2/2 || \frac{x^2}{2}
sqrt(3)/2 || \frac{\sqrt{3}}{2}
1e-5 || 10^{-5}
1.2e6 || 1200000
exp(-x) || e^{-x}
E_1 + E_2 || E_2+E_1
\gamma m c^2 || mc^2\gamma
p-q || -q+p
n-k || -k+n
\frac{1}{2} = 0.5 || \frac12
2(x+1) = 2x+2 || 2x+2
12 \text{ square units} || 12
15 \text{ cm}^2 || 15
30 \text{ miles per hour} || 30
5 \text{ ways} || 5
\mathbf{5} || 5
\underline{5} || 5
\mathrm{12} || 12
\$1,234 || 1234
1,234\text{ meters} || 1234
\frac{1,234}{5} || \frac{1234}{5}
10,000\pi || 10000\pi
\frac12\begin{pmatrix}2\\4\end{pmatrix} || \begin{pmatrix}1\\2\end{pmatrix}
-\begin{bmatrix}1&2\\3&4\end{bmatrix} || \begin{pmatrix}-1&-2\\-3&-4\end{pmatrix}
204_{\text{five}} || 204_5
1101_{(2)} || 1101_2
1+\frac45 || 1\frac45
2\frac13 || \frac73
\text{Yes} || \text{yes}
\text{the ellipse} || \text{ellipse}
\lfloor n/2\rfloor + \lceil n/2 \rceil || n
\text{all } x > 1 || x>1
90^\circ || \frac{\pi}{2}
\text{no solution} || \text{No solution}
120 \text{ degrees} || 120^\circ
x = 3 \text{ or } x = -1 || 3, -1
x=3, y=4 || (3,4)
[0, 1) \cup (2, 3] || (2,3]\cup[0,1)
(-\infty, 2) \text{ and } (3, \infty) || (-\infty,2)\cup(3,\infty)
\left(1,2\right) || (1, 2)
\langle 1,2,3\rangle || \begin{pmatrix}1\\2\\3\end{pmatrix}
\log_2 8 || 3
\log 2 + \log 3 || \log 6
\ln 5 || \log 5
\arctan 2 || \tan^{-1} 2
8 \choose 3 || 56
e^{i\pi} || -1
\cos\theta + i\sin\theta || e^{i\theta}
\frac{\sqrt{3}}{3} || \frac{1}{\sqrt3}
a_n = 2n - 1 || 2n-1
f(x) = x^2+1 || x^2+1
"""

DIFFERENT = r"""
\text{12 or more} || 12
\text{12 of 15} || 12
07:30 || 17:30
5^\circ C || 6
x^2-3 || 3-x^2
2\pi r || \pi r^2
(3,4],[1,2] || (3,4),[1,2]
10 \text{ cm}^2 || 10 \text{ cm}
5 \text{ miles} || 5 \text{ km}
0.5\% || 0.5 \text{ dollars}
-3 || 3
\frac{1}{3} || 0.33
\frac{2}{3} || 0.667
1.41 || \sqrt2
3, 4 || 3
3 || 3, 4
(3,4) || 3,4,5
x=3 || x=4
x>3 || x \ge 3
x>3 || x<3
[2,5] || (2,5)
2<x<5 || 2\le x\le 5
\begin{pmatrix}1&2\\3&4\end{pmatrix} || \begin{pmatrix}1&3\\2&4\end{pmatrix}
A || B
(A) || (B)
\text{A, B} || A
\text{A or B} || A
\text{not } 5 || 5
5 \text{ is wrong} || 5
x+y || xy
\sin x || \cos x
\sin^{-1} x || \frac{1}{\sin x}
2^3 || 3^2
n! || n
\log_2 3 || \log_3 2
\sqrt{2}+\sqrt{3} || \sqrt{5}
\frac{a}{b} || \frac{b}{a}
i || -i
e || E
12:30 \text{ a.m.} || 12:30 \text{ p.m.}
\text{Monday} || \text{Tuesday}
\text{Monday or Tuesday} || \text{Monday}
10^5 || 10^6
1.5e3 || 1.5e4
1011_2 || 1011_3
1/2/3 || 1/(2/3)
|x| || x
\sqrt{x^2} || x
\ln x || \log_{10} x
\frac{1}{0} || \infty
\infty || 5
100 || 100!
x = 5 \text{ or } x = 6 || 5
5 \pm 2 || 7
\pm 7 || 7
(1,2),(3,4) || (1,2)
\{1,2\} || \{1,2,3\}
y=2x || y=2x+1
2x=y+1 || y=2x+1
x^2+y^2=1 || x^2+y^2=2
x+y=1 || x-y=1
1.0000001 || 1
99.99 || 100
\text{five} || 6
3 \times 4 || (3,4)
3 \times 4 || 4 \times 3 \times 2
5 \text{ apples} || 5 \text{ oranges}
7 \text{ days} || 7 \text{ hours}
\$5 || 5 \text{ cents}
a=1,b=2 || a=2,b=1
(a,b)=(1,2) || (2,1)
5, 5 || 5
3 4 || 34
2 1/2 || 21/2
1,23 || 123
1,234 || 1234.5
0.1\overline{6} || \frac{1}{16}
x \in \{1,2\} || 1
\text{even} || \text{odd}
1-2 || 2-1
5\text{ hundred} || 5
5\text{ wrong} || 5
5\text{ to six} || 5
5\text{ thousand} || 5
5\text{ dozen} || 5
5\text{ or so} || 5
5\text{ plus or minus one} || 5
5\text{ but not six} || 5
5\text{ squared} || 5
5\text{ minus } 1 || 5
5\text{ halves} || 5
5\text{ half} || 5
5\text{ at most} || 5
5\text{ incorrect} || 5
5\text{ times two} || 5
5\text{ percent of ten} || 5
5\text{ is false} || 5
5\text{ through 7} || 5
5\text{ factorial} || 5
5\text{ point two} || 5
\max(3,5) || 3
\max(3,5) || 8
\max(3,5) || 15
\min(3,5) || 5
\gcd(4,6) || 4
5 = 6 || 5
5 = 6 || 6
5 = 6 = 7 || 6
x = 5 = 6 = 7 || 6
5 = 7 = 5 || 7
3 + 4 = 7 = 8 || 7
A) 1, B) 2 || A
A) 1, B) 2, C) 3 || \text{(A)}
(A) 1 (B) 2 || (A)
(1,2),(3,4) || (1,2)\cup(3,4)
(1,2)\cup(3,4) || (1,2),(3,4)
y=5, x=8 || (5,8)
x<2 \text{ and } x>3 || (-\infty,2)\cup(3,\infty)
2^{1009}-1 || 2^{1009}
22!+1 || 22!
p, q || p-q
abc || ab-c
x = 5 \text{ where } x = 6 || 6
5 \text{ for } x<3, 6 \text{ otherwise} || 5
5 \text{ if } x = 1 \text{ or } 6 || 5
5 (6) || 5
5, \text{ or } 6 || 5
\pm 5 || 5
|x| < 2 || (-2,3)
|x-3| < 2 || (-1,5)
x \ne 3 || 3
\{x : x \ne 3\} || 3
C(10,3) || 10
\sum_{k=1}^{n} k || \frac{n^2}{2}
\frac{1}{2} = 0.6 || \frac12
2(x+1) = 2x+3 || 2x+3
1,234 || 1.234
(1,234) || 1234
\begin{pmatrix}1\\2\end{pmatrix} || (2,1)
\begin{pmatrix}1&2\\3&4\end{pmatrix} || (1,2,3,4)
60^\circ || \frac{\pi}{6}
60^\circ || 60\pi
204_5 || 204_6
\text{about } 5 || 5
\text{less than } 5 || 5
\text{more than } 5 || 5
\text{at least } 5 || 5
>5 || 5
f(x)=x \text{ for all } x \text{ or } f(x)=0 || f(x)=x
n, n\ge 5 || 5
\lceil x \rceil || \lfloor x \rfloor + 1
10^{-30} || 0
e^{-100} || 0
\frac{1}{10^{50}} || \frac{2}{10^{50}}
x^2 || x^{2.0000001}
\log_{10} 2 || \ln 2
A || a
\text{odd} || \text{even}
\text{no} || \text{no solution}
\text{yes} || \text{no}
x=y || x
5\% || 0.5
5 \text{ m} || 5 \text{ cm}
\frac{dy}{dx} = ky || \frac{d^2y}{dx^2} = ky
E_1 || E_2
\gamma || \Gamma
m_1 || m_2
"""
