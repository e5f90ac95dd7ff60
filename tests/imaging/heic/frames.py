"""Pictures coded as HEVC intra frames, for files that `container` puts together.

Made once with heif-enc 1.15.1 (libheif, x265 3.5), whose tiles of 64 x 64 these are: `-q 90`, ten bits `-b 10 -q 90`,
the large one `-q 8 -p preset=ultrafast`. Each is the body of its box hvcC, with its length, and the coded frame."""

from __future__ import annotations

import base64
from typing import Final, NamedTuple


class Coded(NamedTuple):
    """A picture of HEVC: how it was coded, and what came of it."""

    settings: bytes
    frame: bytes


def _coded(text: str) -> Coded:
    data = base64.b85decode(text)
    end = 2 + int.from_bytes(data[:2], "big")
    return Coded(data[2:end], data[end:])


# 64 x 48 in a tile of 64 x 64: red, green, blue and white quarters.
COLOURS: Final = _coded(
    "0B!*TZ~y=R000000018F0Q~*<_y7P810Vna02n|43<3ZD18@KU0|1Z!00RI30{|Yn0ze@E0RSpO0RaPW00093kN^M!000939-ttB1(xdM"
    "rn$Hf5HKJB00RIZ00093AtC?)00u+>!E?Zg0003FC;_hqI9m6%-^n0<|Mfc_hxC{FCq-|@m5r*qQ<eAQ*&qLg#E-!n3A6Ee<=u^N!|%z7"
    "9tZyEOPn~Ef8JjFU(<aw?zg7FH04Qxa3CKr>3`?nzy5v{i}&gO@qYjM2HD1st6#7AZTxpJ9B=3&TM)VZw@thEgU3vvNhq%K1QFd?ZqxKZ"
    "sC$3Wde4d9K1ILtlQ(1UMBRaI`6w{BA@!rjwY;vos2c2MMiDIOOT2pQ`V2lgSmDQ}334eT$GX$U>^7VsIK66*?))1FJnzDt@6fEzFw5?U"
    "zaIi#{60Bk7pF~9<-eUV>|+t4?9;NNDb^(`+>Y&TMGOBWVGt{BSYYzS%cSTpIhp"
)

# 64 x 48 of ten bits: a gradient.
TEN_BITS: Final = _coded(
    "0Br#T2mk;8000000018F0Q~*>`TzhA10Vna02e?33<3ZD1PA~C0|1@40009303NymKp_AD04hQO0R#vD00RJ>xBvhH0017KAb|wgZmvpe"
    "n}GoX0ssI500IC20{{XLA^-sZ21EhDbHIrJ00BfO0j~x)i6g73QQP%JLL2l_v<?d{(YG(cM2tqRvNip?|G_@r=UXl2%l+1$9$%p0{~g@<"
    "HJIa6!LXes-5wV;w#4pC4Nl}yjTA`4>x%eO#fR!;olG>vi#|L^#=TYWYJ3B-U?%>`0Niw5{uIf*^fG=rH8%Uo{=E-G%l<&yW_s$}^<vEb"
    "2%IZ-Q_W*jdPMUM_`L&;So_7sT#_gUT}Gb7U29fZocg)_w2Bw-4|-~PHcMoK%T_n8pY-byGwUAzBmWPt_*4G@g8m~wez0DgtQmXu!$+B?"
    "%vX_bwD#4R15pZKS^zH<B-5T8w)iZc6zc~8`40X3yUjmpcdkr<%=}=ETbk#@12xhI{FbZ{aF4l=rnJLHFF;4)b}YR=7~ZqR^(?J+3%<4k"
    "2=;9G2S^M#ZiAYGS_22yIj1N"
)

# 64 x 48 of grey: opaque from the left to pixel 40, then transparent.
OPACITY: Final = _coded(
    "0BHdP2mk;8000000018F0Q~&;_y7P810Vna02e?33<3ZD1PA~C0|1}+0009303NymKp_AD0472K0R#vD00RJ@_y7O{0017qf&>;@tCE`L"
    "z<>Y%0|0;k00RJoA^-sZ21EhDbHIrJ00Dw10j>;iwF}FC;N_o`!BzfCa}hp{D_hT}3_kBK-~V=hyzO83$y_weI-mWRQPO9$Fy5i6-QVxy"
    "Lokk*dgT~uGe=gdT=Ao!fP{jzy!vp%?(+Tr_h;Z2pYuX3qNY*>5lGz@S9%y7l^FQ{d9`mePR=bzb<F#^e5~e%=iaM5QOr~>BhJ7H``)-K"
    "Kj^HVWn0r4;;_60uL|5dlG0E8td@;$p+WH8k^&3oj*pKHlbP4+v}fl9QN?2Urnl)zq6_}zWh0n6>TR$h4fOP7`^sJi|Jf@wzV5KnebL^%"
    "{%7a-p_KOk;Lg(OjIN5v<NG<iN&k5(UMx!jX&7z{g?e`Z=4X*V<#0JQMGS$$f;m7g=-N8<RS()-0Nv$>%6<ke^YYw+C;h@HHn2Gum|w^g"
    "h3IidlM$%@iuaH-$VRhCZQH}UG7Ra)*OGUonisK*gkiCN!Flt4?*iw8h;3XK3(<2QO?7<6cK`coZ#&<+{Aa!#65r3#e<48^fB"
)

# 4000 x 3000: a gradient, coarsely.
LARGE: Final = _coded(
    "0CE8XZ~y=R00000006Y`0Q~*<_y7P810Vna02n|43<3ZD18@KU0|1Z!00RI30|2zT0ze@E0RS#S0RaPW00093kN^M!00093w4ed>AOi4w"
    "xo(q^lIGw*K)`?i00RJk00093gdzX|00u+>z;S~T000&oC;_YyL3oFk2dB42_n2qLhex+(S7--j*LPQkR>!v|XIEz@2bX8(S9bTeX6JWT"
    "r$@KO_@oc~t1SSu1HMiPvlTHdUa~k1=_3FZWw(B&XiXLtYk~pj8YTfkaPr|+BdrBSPy^ChrRNqlN5bTQ0TS}AIPg?g<!twnz5o7uvDGT}"
    "TdqckOv-hdXRv%?#NMXU&;mRI13Q}wj2Fa84g44g^|%ee3#ssST}4nJ*<wc*W}f7o%SLQ82dknDcXJ9edzYs2CmtoXwmb&OCF)iTKpol6"
    "O<0os(;Qsl0&L#&I{z=jqMC9%mu>_#E;-<@u#jP3%&n3Y*sg<*S#W4w+T)O8tfV`eDk$UNmT#`!>J@3<JiQwilwEp|F5Xa_`t3tf>2S0A"
    "80~2;46KmGA^Ee0doRy%um4bq0Bcv7?_~Iu*~H~q3geu50^}?I0=kfb2;+2S$q1KpcQ4PBY=74VD_SQY_}^G5fQ)|$Vf~W;1wxaO;z;|%"
    "ydz+&AAPPcw+@t3c@-UTXvQ?C`4Z`!&n!R%yZyQk#XqPS@FTTNcZyolo*hyYL}6?Xh?*|GFWed|4e5JHyB0u>MZvt^#D!}n)wbNq%;s1z"
    "H;fKZjmPJ&%w%?3k!z*i=ML+|kr+spdD;3@N`Jl1&Tin;g|#9Oo~xhn`02RWtA8K@f|)*_gsrx)&`by~9oCQs$QoRgNp<%#o?lp21xqbP"
    "@dD*J%^36cC%3?jBv5>tQ#8D87MZ~K>s|+jCeG0!g8d0a7Z#RNaQJE$PsfvxE?N=nWs_moH(s5e)07AGpsLI;XzWp4Msdb#rXAdn=H0Ib"
    "Zs|c`QlO`k%E!e&APvueEfbIKZ~Iq<G-cHOz#9Aw4?Mo3AAnbU@@-THk*}UI$||hQNSE0_J9Mend%&{sF;CF4ESCUCHX$t0c)DDhM)Qc&"
    ";rO;IJK>n3U2%U{l*BWNnx&g5ZR^m@FD^}&2u*tI!aND~ilO^PQP1zlNo$onkr9e$s<P3*>M=7*#<h3%$RK0d?f<-OgJve5rt=L-^t(}K"
    "6bBBzVck$itw<yhCc$2s89Q);c5-yAVhp`s6!Or-ujT(svwy;u7N}j0&5V~nyG=jr!`8=4?U%n{$$*H3+|Y#Ng7D{s)c*G|vzRh@d!SQ~"
    "VSheDiL$W}25CKTvnv#6%Fm$@IIQ*ter^+K=U1o1k~b?n7=U^=63MVzXPI8-?u=Lri6Zv;F&UJ6P8+)2zhqY_BX=~s;5ib@(URf8{_4~K"
    "%HuJ%eAs*Pehu&XmmRp#-!B#wO)q)}Gp<xs1iP{1Y}$4&aL5AWMj7LapzQq(piZ;j2S%%<nZZOaz|W4rmTs;)3l`f&<FP0d!*=ptxgK4C"
    ";Fz;R<bDxr!2eN?&bGo3C>~bCXKcA}AK@`(Hvw44QxFA{du>!m^Ih=zE~!E^8mgb|`a}TDUtK#jN;q9FC^BQ@5^&12r$$@*b(}{vV_z2J"
    "5y<~9jbH`XUj&P&YZ!c*ryfbB-d`H4t^56?u+A%cO>=GnZdd>jgH2RehPTmKX1UDsNAb2sJ1w_21NmpO`deu$48~AdKs{7ZND(2OJhQk0"
    "CwDC6rbrL7$+^eg$Er74O#DM{yfem3yd=B2Aifoli#mG!18k0{oud{eg`51L24x(dItYMUsZa=P8Ujx>Q_{&?->t8aP9r5L6f<ggpNIzi"
    "Cq$SMXeu-eKpr>ebvG|2p+Wc-)nCf|%hHA==1PBn+gapuEtV4VA+Cccy#E|@HKk6vqs^=aN^|LiiaC9sk$%xuH9azveB=s1mt2>LmNtOG"
    "bcC<Yyj>UZF!YgA1&i8d8KnVUkH1H-*BGi~Vcbmb2WGNuH~<U4LsQ~63RWx8^9w4*&OPi!6lrM8>upAWxT!(P5IHdvu5MZ-y|xGEBEJg^"
    "iWfBC56TmzS}H2Czb=4y%PB4)d1ra+T%8!be)ME(Tzk;*Ul~7wCFU{`cRT%sIpr(P_3H>A0YGoieNHhG9U+Oox*=ZJ73kugK67^`<Lcid"
    "SW#9%;GV&O9i641A!ox=&r;cJM9^+0r^l8xMy0x=b~(+dBQ+8RS_*f`muRfp)Ut0!L$c>Q`L;e1;!Uv$QAqYrOZh<Og*Vli4E%1m&#n|p"
    "0pkpPQYb!#o@Zhfctf1TD^}wk)Z2~n=^-V!2aP9N^~9k#CJ@L|bU6gl7%bfi{hg8|lLPeD4s{hZ@bfl&D8Aybz1P2b{T)ocgyk@$g2lX{"
    "1h(V-rB&;{7rZb@;3K-ipjBvzfuB5jl@{fI?k^fKy-3#Qx^lia)kmjy#R&l0b`NEe3}S9EX_#51Iilj!?d^_JP?Fk_SRu44CGAv)K50i7"
    "cc;QL$Nxv8!$V<f=PcW32Jitl0044A?DlT3TJaTULTS=v=9yT}orqBwuINJ%{RvRu67pTY4wTSYCv)`%J^hGt0|Bc4ZEYEQCnXsinS3LI"
    "b1P4mX=mcIhO0QxR{2^ZWaHA3t^77~sHjn(Dgm5ZEHsRS3t*WI5c66Lfk>}ClGp5|v}sKcmFTEv=P$2(k_*+fo(FZ$8T(;}B^itGFIxJ^"
    "_rG?|eh5Gfg5tSFKp5&B^k^_p5-}xmxtmHBvfxGGHjjz2{_$8EpgrCW0)jNjZ9@btmhMRBXQ2Bv6N;2Ejf<uJ4^J4h$KT3v|0+u?^eSj8"
    "K*{4hE$K0fgIPDh5L6FYuF^92!0uiScGkTvf{&)AFBW#aA0D^<behO=)Ne{UHgvC<HyQ7LiA6Pyl}YyWH@dTS5P1Xg_{<w*#jBR;g@7pS"
    "mnVrCI=XS;_ZK>Pose)v09N^*pO8*a@#6Voze3GwS(sZR2KJ%n{0s#l2ZmQ=LU?<@&ChP|(2ua`Y}LOYkF2r($?&0_{B~o=D&6oD%o>sk"
    "c5Wf=-O6F~!lWmV;Fs4yOLF`40&X<dY3iU1bkNOdc>!DqM-N5xl?Hkv$q1@AZt6($b34X6B&za`5=EZ4=U6mc*To|ztUQ@ANBCqGFweWB"
    "4_AlPH%qn3dh2K4%px}f1}MY9VQx~s+z4LdhrSRMC>#(&C=eH&_2x~lg7iSy@N8+Kd@j9#W^bV!vHs*zLmuv31U!Sy)MJU;I=di?y-)rt"
    "Q|S(wc{tYw|N5lIEy+U|8el4KPkG!cpq!KrB+2!N%_q+)bED9k3ho$N$eaM;Mzx~;SwsUE?F7((TiJF}G(@5=-fBFe;BZb1UE4zfl!dY6"
    "Xzhg&gow=?)ym!!IS$m6Os)}d`N%T`GNf=pIs%KT-n0aBr6I$+Trze%O{BXUoaErfCrI|VxB`FKKcw){SuE3p@`+4`ny=r+6TRQ{9-Ru="
    "^A=jTD{>}k<pggRz!XzQr7v4rXEM+`K0X}^pb?DBj{bme07yOZ_}udtF@-P|Y|%YFN%5*K`J=)VM*s>gedg6c=Ne~&bapDs{0COMg&TYm"
    "-R%l*0EIbt3L%J*4&=+v1vTlMC5x8x3d9-6G<)9flC>&Qa4kaZ>l*lH-S~hIT-5U|bis<wMZbp+cJ*oZAYkq}+VA6*=O_0Lq;&a?u#kTm"
    "e%J*@NN}hsZ~Ik$8E0aK*+Sct_UCJ2rmBm4r2zLod)M>?nbnOz!4kG7g1gyJIWGEGsA0k_d3pthuU)tof8QkXr4dB(K*UaaWN2{gz}jpV"
    "!wy?<lr(g$B=QWf8U3T9{Z`h~ui5ctypRzA&dI=lvIKp4s2-d66alfP+bwsSk$Z1wpZe*7!8vUNE}Gq>){rMlF)|I(;q~*b*(%`6a)){n"
    "NglpcmoELgmC6)Al0~j;&fHGeS1qM1Is#KlU4&GUf*l%57NlUA2myE#(LqqitvY%Y&P+&M&#?;fE=RhuE1U(HP{%xLvt$9O6fVu$6dd`2"
    "t~-(>A-KY1{0xCDg?62aUcIaPEcpIJRL?Jv^Jcm){w5K^%i7#H3ZZbal>7z8%#tC`K{92lkgPylhF=gR5GFfM`HJ(UBg;3h5K(Jm=yZ}?"
    "Ri&WiT4^G?SlwlKAP|rFXW0u#TG4(Cb_e4j`_c2uGOSr0Qz}Uc^XH7KiPNg$yE)OndKsS8e-Xu>d?DPs&ML4~4j?7yPQH1+JVsll0Ul^6"
    "(K5@+s)}#z=)hlS%Ld=g56uqIkU3d(fhJb$79;lIFauUlj)k}C6lxs~7hR=4K-B{Vyv9RXqHIr?SWmGN=A>;K{K-ZI$zkJ_PF4Xx)Y`UJ"
    "LneMFR@SpFGL|IluENTWq=(v#cmf-$@CmobJYi6!;t5)Ur(l=z_*-Ch4aLis2A2V3vfhv4H4PE&hCYiG3CE%);;NWIuWr1gW)dBKF<%7U"
    ">@`_!^=sVM8LpUi&k*Sau!WGAh)N3tU-eA!yDlBBC_=B6*VR{kHY@8dcWqZL5eGg*_nI*ZbF|)enxQTW16<Lp1>V>Po#Zs)FV0jEE(+sJ"
    "4GVgejhMXY0_QnNjkPNsbUK=?zKzoQ?@Q;MDV`cWIVw}%eUky}AvQy11b%<fx2%C-1a{vn-J+;ra{`eLH?JF@&TXDM4NHs3XBhgm&&l$%"
    "kCJ}E<7p)*+=#7m{g+T!*pntleAtO>MG!#5N_6X3dso*K$lW~cBil<jwcfmVU-ZQUgEm#%Mii660-z~inxQ>S{owwp|HzQ$-AUkVj=*Bg"
    "BY*(T%anZV`gaP&{=>n$J`bI#9k5faCH#4CKOqCBGvalt6JAvrZWcqoQ#cH1o6T#<1Hyn>(reX^?#DTCVvi+!zd!TcL6wTD#C`$Z7Llue"
    "6}8)ydloK03s&pzELmOq@ASrg<v&D0Q{x7AXiiy*1QE?oMC?<A3GiV+rbvaZDKG(mwC8EQ00KyXez&SO+PWm~PHFPa7(cA)<CEYtLmL87"
    "d5P7|92Au&pkqBbgI_G3K!x?|UaOIY7dArRSWYEfS|Ss}O~vge%$JdJ{H7h<)@nd=x1-*%gfP)K^sARjKL=_Mx7E=u4D}yq9R%5H2*2vj"
    "p#>88I%Rj`uh5Aal0srell&wDS<|ee4L&VlPe(Mtd+raNfJritQQ4*7UxhctW4nlJ>c|wgDy5JHQ%V8h8UlZo5NN{z(sV-<4y*pjYQPle"
    "C<a0B5&&<+hMgu$30AMdpnXr6ohyj`00n<NBkbiiCzQmcTk{wz+{UZ$6R>XLm0j9oiBh=|qW$NvH-M~a;>9T|xm<}`w15KH45adk0twmx"
    "1jxJvPjQepDLNIAa!Rj8me5q*SAA#*kq?>zd}ke}(q#n3yx@k`ASCM|w!3}68;KF|OJJju^f+T#9YG00@n4NH4L_$Ehvhq=JXF%#=Up8X"
    "Mo*A=QFbxkdvXhbX%y0vlQ@@R*oHSn;Q@~s5x=1-7?7`paw*=OR^TvO0{Yzdod~V9>FWIeayfiriIcq>sGO(TuJFvOZboFMA|<<jksc@0"
    "0ZrA!7En<jXID6%kCqWh{Wgkya)VTh|7_0tovI1S;lHZcy%V0Y4ES32sDuT1MV!1Q6Y^{lVfy{)VpT=d;p+T=W?--|$d_OKP5|-Ffn7T;"
    "Y>!i4A%Mt{S?AsTj=;u>tl}k-CYfk>LL~>e3VMMxZQgFEiXO&V#>yi!@O!dSdGFwvPNM|2v(tfNIc?NLp3oMrEl)2+d$8!;nk<y*gzcRt"
    ";zi;|yNKoj_nqs>@!S3S=Q}7U{3Oedlk`c%GlC<eHe}f(G&ujcfXQhNBim&(VJ!X6iAIw;*7&$H?iGnL6YBN!ozBX%?v9@qW#Rt035$au"
    "^Fm`cnpNL%mg074k9Q=T9K*cf`d}}Z0sa}l8e42(8NgcU^OT3Ph64!~TIe-hxq&%6!?~gNBx1Q3F0UfQj~-+yx;yzNQQ0%pN*k4}GU%mW"
    "xvW3rR<f9Ei#kGkFc1INJYRAYpg6A!W?XoVPucF7_U6MrM)}Dd?dUchbNzI*C9heNsM-1X00?;w(Z^5j-qcsA|77S$!Zr2&r;MVopDvM0"
    "$@2+yI;9b0aNlPMF4={kng^ADeU9qQ%IZ7M8|eolx^eh=uG%@Fp<w%ZNAY@L{pC-sby(=FmnO*D?32Ntt!zqY%|XQ1#}0VAmOIeeu}Mva"
    "h9ch+33b$%g@#eF=(m&p)GiVWwvm(TZFE<5xvE>7cS<NAF&_K9d*I$58lpKWOYfjKr-}-*i~O7{PLDdP<|Cg}8so2+K-&IH8QS7V#kgfR"
    "cB0j_cJ318MfIkHqF)a2WJ9Fa^j~Hdy}y6#khK~qQyTG#hG$*V5ng>F{GRZ&fh12*#mzQ0Y{6z%JJzxrRohwZqXO_8!~?EOz^m;JJ(^ZP"
    "RMzM*bJNy6_zPTcXRD6YbCx2&ZQV^(o3sqFnD_-bwnjBq82+r5JZJ%2vkHL0#)CBtrKKkp#6*4e76HC~)8OVFNxZ#)AMXQ>k`{aac#=Ui"
    "!M96VSun8yG)8==)JWC=r%DBYfR~&!DANc_gfLllIw>jyJ}}yF!tg8Y0}v@9nuAiZ+)N;XP5g}Y1U-Ud_m0?V&!<UJi${cFxX>U=<D9*$"
    "^V0NLp)PGvRc7!FNkL6znh7`E6p2gh*-m}^JR-95E)YfQ3nPY0w%=af6}Hc~2aq0LJnLquWAJc*L2zFk<iRqe2tuLHmG-k0KG<OUdGBFw"
    "`C!VMn}GAV@ue-wweA@V*_44#gCCWkP{Wv2lo?k=-+$cQiOeEjF{juHy)@b8J2uz!<AGlSSaeBI4Sg-vTq74?C$rUPsrGymbm#^Xxe7JZ"
    "IaFbHG-k;@z-!uf<<Hk#K`7`6=mOsJJ<p>pek2Vt0pSJB2O?(Ck@!AUm@E89Q`_t*T#7wJ92Nl4{p`(UZ&OGCj#s}NZ~-(@x3G!_=3nHE"
    "(l<oa#)4j7TBl5KvYx{Ka~SACAQ>P42Lgu8H03)4j$o^QTSnQ4AmLNE+-wMQFk?*y6CTOuu7RKeOd+fv@Ns1}m2t#}xG;;?3<EcYyjXx9"
    "q_YSXXy)VWFrjL_%<Rs(Ko?8Z%Cj(Kg^TABDaZ?}9X%VlxOS67I0cKO1a0?*dNd6=y=pyy+M-YKaJ98c*t@GWpWUi>lXc1>i2Gu?$(;?Y"
    "?{wg1C_rt;?9Zj^U{uK6b#Hb7W~q19nG+@b->;aVBA6i=@!_sG{Wd{4?0*Zy%SV3)Vqu+k@{=(l6a7dxH6u-voP6ppuDA^TVP0B3dJ?sq"
    "TVL0A_7f_N3Zj&usD!SrB&t{(^u<@9Z0qoRY%<cF@iaRdm_jp?PjW+?XhSE6=Q=8Mtr~w$$P&vxU0YSp2i}SV3>+Hy9`(CdWP>LZXqP+G"
    "soR$WH@!}VEOTbvj<YmukWzxD3TolYaoaSV`OJgFw5B7Foc72x%mYn)Lz@Co@-jCz12&VkwY^p>b>z7bm~fYX"
)
